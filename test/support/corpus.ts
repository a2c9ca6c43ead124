/**
 * The damaged corpus in fixtures/: for every damage a data directory with one topic of three small segments, and what
 * must be said of it. Byte for byte the same every time. `npm run fixtures` writes it.
 */
import { DAMAGES } from './corpus/damages.ts';
import { expectedOf } from './corpus/expected.ts';
import { healthy } from './corpus/healthy-log.ts';
import { javaFiles } from './corpus/java-files.ts';

const TOPIC = 'data/orders';

const json = (value: object): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

function readme(): Buffer {
  const rows = Object.entries(DAMAGES).map(([name, { description }]) => `- \`${name}\`: ${description}`);
  return Buffer.from(
    `# A damaged corpus

One folder a damage. \`data\` in it is a data directory with one topic, \`orders\`: 17 records in three segments. What
\`fastqueue verify\`, \`recover\` and \`inspect-segment\` must say of it is in \`expected.json\`: exit statuses, findings with
file, byte and offsets (\`lost\` as pairs, the second excluded). Try one on a copy:

    cp -r fixtures/flipped-bit /tmp/ && fastqueue verify -d /tmp/flipped-bit/data

Everything here is made by \`npm run fixtures\` from test/support/corpus.ts; a test fails where making it again changes a byte.

${rows.join('\n')}
- \`java-fastqueue2\`: Files of the Java FastQueue2, under each of its names, one of them damaged; their indexes hold zero
  entries first and last.
`,
  );
}

/** Names of the folders that hold a damaged data directory. */
export const CORPUS_CASES = Object.keys(DAMAGES);

/** Every file of the corpus, by its path in fixtures/. */
export function makeCorpus(): Map<string, Buffer> {
  const corpus = new Map<string, Buffer>([['README.md', readme()]]);
  for (const [name, each] of Object.entries(DAMAGES)) {
    const files = healthy();
    each.change(files);
    for (const [file, bytes] of files) if (bytes !== undefined) corpus.set(`${name}/${TOPIC}/${file}`, bytes);
    corpus.set(`${name}/expected.json`, json(expectedOf(each)));
  }
  const java = javaFiles();
  for (const [file, bytes] of java.files) corpus.set(`java-fastqueue2/${file}`, bytes);
  corpus.set('java-fastqueue2/expected.json', json(java.expected));
  return corpus;
}
