/**
 * A topic as it will be once its stores have their own names back (misnamed-stores.ts), for who only reads: what else is
 * damaged can be seen before anything is renamed. Indexes of such stores are not there, as they go with the renaming.
 */
import { classifyTopicFile, storeFileName } from '../format/file-names.ts';
import { indexPath, storePath, type TopicContext } from '../topic-directory.ts';
import { readOnlyView } from './read-only-view.ts';
import type { RenamedStore } from './runs.ts';

/** Ends the name of a file that is not there. */
const GONE = '.gone';

/** The topic, seen with these stores renamed. */
export function seenRenamed(context: TopicContext, renamed: readonly RenamedStore[]): TopicContext {
  if (renamed.length === 0) return context;
  const { fileSystem, directory } = context;
  const actual = actualPaths(context, renamed);
  const pathOf = (path: string): string => actual.get(path) ?? path;
  const view = readOnlyView(fileSystem, {
    open: (path) => fileSystem.open(pathOf(path), 'read'),
    status: (path) => fileSystem.status(pathOf(path)),
    list: (path) => {
      const names = fileSystem.list(path);
      return path === directory ? names?.flatMap((name) => nameSeen(name, renamed)).sort() : names;
    },
  });
  return { ...context, fileSystem: view };
}

/** Where a store of the view is on the disk. */
export function actualPath(context: TopicContext, renamed: readonly RenamedStore[], path: string): string {
  const one = renamed.find(({ to }) => storePath(context, to) === path);
  return one === undefined ? path : storePath(context, one.from);
}

function actualPaths(context: TopicContext, renamed: readonly RenamedStore[]): Map<string, string> {
  const gone = renamed.flatMap(({ from, to }) => [
    storePath(context, from),
    indexPath(context, from),
    indexPath(context, to),
  ]);
  return new Map([
    ...gone.map((path) => [path, `${path}${GONE}`] as const),
    ...renamed.map(({ from, to }) => [storePath(context, to), storePath(context, from)] as const),
  ]);
}

function nameSeen(name: string, renamed: readonly RenamedStore[]): string[] {
  const file = classifyTopicFile(name);
  if (file.type === 'index')
    return renamed.some(({ from, to }) => [from, to].includes(file.baseOffset)) ? [] : [name];
  if (file.type !== 'store') return [name];
  const one = renamed.find(({ from }) => from === file.baseOffset);
  if (one !== undefined) return [storeFileName(one.to)];
  // An empty store of the name that another one gets.
  return renamed.some(({ to }) => to === file.baseOffset) ? [] : [name];
}
