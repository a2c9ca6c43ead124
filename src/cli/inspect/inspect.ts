/**
 * The use-case behind `fastqueue inspect-segment`: each file in turn, shown as it is read. Text is gathered and written
 * a good stretch at a time, since a large store has millions of lines. Parses no flags.
 */
import {
  explainPosition,
  FastQueueError,
  inspectablePaths,
  inspectIndex,
  jsonPieces,
  some,
  StoreInspection,
  type ChecksumName,
  type InspectedFrame,
} from '../../engine/index.ts';
import { writePieces, type Output } from '../output.ts';
import {
  entryLine,
  explanationText,
  frameLine,
  holeLine,
  indexSummary,
  storeAsJson,
  storeText,
  type FrameForm,
} from '../views/inspect-view.ts';

/** `from` included, `to` excluded. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface InspectRequest {
  readonly paths: readonly string[];
  readonly checksum: ChecksumName;
  readonly isListing: boolean;
  readonly form: FrameForm;
  readonly offsets: Range;
  readonly positions: Range;
  readonly maxCount: number;
  readonly withIndex: boolean;
  /** The byte to explain, instead of everything else. */
  readonly explainAt: number | undefined;
  readonly output: Output;
}

/** Text is written when there is so much of it. */
const FLUSH_CHARACTERS = 256 * 1024;

/** Shows everything asked for; resolves to true when damage was met. */
export async function inspect(request: InspectRequest): Promise<boolean> {
  let metDamage = false;
  for (const path of request.paths.flatMap((each) => inspectablePaths(each))) {
    if (request.output.isClosed) break;
    if (path.endsWith('.index')) await showIndex(path, request, request.isListing || request.withIndex);
    else if (request.explainAt !== undefined)
      metDamage = (await explain(path, request.explainAt, request)) || metDamage;
    else metDamage = (await showStore(path, request)) || metDamage;
  }
  return metDamage;
}

async function explain(path: string, position: number, request: InspectRequest): Promise<boolean> {
  const explanation = explainPosition(path, position, { checksum: request.checksum });
  await request.output.write(explanationText(explanation, request.form));
  return explanation.within.type === 'hole';
}

async function showStore(path: string, request: InspectRequest): Promise<boolean> {
  const { form, output, maxCount } = request;
  const inspection = new StoreInspection(path, { checksum: request.checksum });
  try {
    let text = '';
    let shownCount = 0;
    let foundCount = 0;
    for (const step of inspection.steps()) {
      if (step.type === 'hole') {
        foundCount += 1;
        if (request.isListing && isWanted(step, request)) text += holeLine(step, form);
      } else if (request.isListing) {
        for (const frame of step.frames) {
          if (shownCount >= maxCount) break;
          if (!isWanted(frame, request)) continue;
          text += frameLine(frame, form);
          shownCount += 1;
        }
      }
      if (text.length >= FLUSH_CHARACTERS) {
        await output.write(text);
        text = '';
      }
      if (request.isListing && (shownCount >= maxCount || output.isClosed)) break;
    }
    if (!request.isListing) {
      const report = inspection.report();
      await writePieces(output, form.isJson ? jsonPieces(storeAsJson(report)) : storeText(report));
    }
    await output.write(text);
    if (request.withIndex) await showIndexOf(path, request);
    // What was not read because enough was shown is not judged.
    const hasErrors = some(inspection.report().findings, ({ severity }) => severity === 'error');
    return hasErrors && (foundCount > 0 || !request.isListing || shownCount < maxCount);
  } finally {
    inspection.close();
  }
}

function isWanted(
  step: Pick<InspectedFrame, 'offset' | 'position'>,
  request: Pick<InspectRequest, 'offsets' | 'positions'>,
): boolean {
  const { offsets, positions } = request;
  return (
    step.offset >= offsets.from &&
    step.offset < offsets.to &&
    step.position >= positions.from &&
    step.position < positions.to
  );
}

async function showIndexOf(storePath: string, request: InspectRequest): Promise<void> {
  const path = storePath.replace(/\.(store|log)$/, '.index');
  if (path === storePath) return;
  try {
    await showIndex(path, request, true);
  } catch (error) {
    if (!(error instanceof FastQueueError) || error.details.errno !== 'ENOENT') throw error;
    await request.output.write(indexSummary(path, { missing: 1 }, request.form.isJson));
  }
}

async function showIndex(path: string, request: InspectRequest, isListing: boolean): Promise<void> {
  const { form, output } = request;
  const counts: Record<string, number> = { sound: 0 };
  let shownCount = 0;
  for (const entries of inspectIndex(path, { checksum: request.checksum })) {
    let text = '';
    for (const entry of entries) {
      counts[entry.state] = (counts[entry.state] ?? 0) + 1;
      if (!isListing || shownCount >= request.maxCount || !isWanted(entry, request)) continue;
      text += entryLine(entry, form.isJson);
      shownCount += 1;
    }
    await output.write(text);
    if (output.isClosed) return;
  }
  await output.write(indexSummary(path, counts, form.isJson));
}
