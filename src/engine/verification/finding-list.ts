/**
 * What `verify` has found in a topic, put into words: what is wrong, where, what is lost, and the command to run next.
 * Decides nothing; looks at no more than the names of files.
 */
import { join } from 'node:path';
import { commandLine } from '../command-line.ts';
import { classifyTopicFile } from '../format/file-names.ts';
import type { HighWatermark } from '../format/high-watermark.ts';
import type { RecoveryPlan, RegionRepair } from '../recovery/plan.ts';
import { cutPhrase, restoredEnd } from '../recovery/report.ts';
import type { SegmentReading } from '../recovery/segment-reading.ts';
import { joined, mapped, some, type Sequence } from '../sequence.ts';
import { listSegments, type LogSegment } from '../segment-list.ts';
import type { TailCut } from '../settle.ts';
import { indexPath, markPath, storeBytes, storePath, type TopicContext } from '../topic-directory.ts';
import { FINDING_SEVERITY, type Finding, type FindingCode } from './findings.ts';

export class FindingList {
  readonly #context: TopicContext;
  readonly #actualPath: (path: string) => string;
  /** Those of damaged regions are put into words when somebody goes through them: there may be very many. */
  readonly #parts: Sequence<Finding>[] = [];
  readonly #unreadable = new Set<string>();

  /** @param actualPath where a file is that `context` may show under another name */
  constructor(context: TopicContext, actualPath: (path: string) => string) {
    this.#context = context;
    this.#actualPath = actualPath;
  }

  /** In the order in which they were noted. */
  get all(): Sequence<Finding> {
    return joined(this.#parts);
  }

  noteIndex(segment: LogSegment, reading: SegmentReading): void {
    const { index, unreadableIndex } = reading.contents;
    const path = indexPath(this.#context, segment.baseOffset);
    const command = commandLine(this.#context, `recover ${this.#context.topic}`);
    if (unreadableIndex !== undefined) this.noteUnreadable(unreadableIndex.path, unreadableIndex);
    if (index === undefined) return;
    if (index.isMissing) {
      if (unreadableIndex === undefined && reading.goodEndOffset > segment.baseOffset)
        this.add('index_missing', {
          path,
          message: 'The index is missing; reading goes on without it.',
          command,
        });
      return;
    }
    // What stands behind the last sound entry is overwritten by the next, and nothing is to be done.
    const repair = index.isSound ? undefined : command;
    if (index.unsoundCount > 0) {
      const message = `${index.unsoundCount} of ${index.entryCount} index entries do not check out, as a power cut leaves them; they are not used.`;
      this.add('index_unsound', { path, message, command: repair });
    }
    // Where the store is damaged, so may be what the index says of it.
    if (index.isSound || reading.regions.rows.length > 0) return;
    if (index.contradictingCount > 0) {
      const message = `${index.contradictingCount} of ${index.entryCount} index entries name no frame of the store, or stand in the wrong place; they are not used.`;
      this.add('index_contradicts', { path, message, command });
    } else if (index.unsoundCount === 0 && unreadableIndex === undefined) {
      this.add('index_unsound', {
        path,
        message: 'The index does not begin with the first frame of the store.',
        command,
      });
    }
  }

  noteInterrupted(path: string): void {
    this.add('misplaced_frames', {
      path,
      message:
        'A recovery was interrupted while it put frames or stores back: the next one settles that first.',
      command: this.recoverCommand,
    });
  }

  /** @param path of the store, under the name that it has */
  noteMisnamed(path: string, to: number): void {
    this.#note('misplaced_frames', {
      path,
      message: `The frames of this store check out from offset ${to} on: it bears another store's name.`,
      command: this.recoverCommand,
    });
  }

  noteDamage(plan: RecoveryPlan, activeBase: number): void {
    const { activeEndPosition, regions } = plan;
    this.#parts.push(mapped(regions, (region) => this.#damagedRegion(region)));
    // Where bytes of the active store are gone, what is damaged there says so.
    if (activeEndPosition !== undefined && !some(regions, ({ baseOffset }) => baseOffset === activeBase)) {
      this.add('mark_unsound', {
        path: markPath(this.#context),
        message: `The high-water mark names a byte behind the end of the active store (${activeEndPosition}), and no offset is missing before it.`,
        command: this.recoverCommand,
      });
    }
    const endPosition = restoredEnd(plan);
    if (endPosition !== undefined) {
      this.add('mark_unsound', {
        path: markPath(this.#context),
        message: `No frame ends at the byte of the active store that the high-water mark names. Its frames end at byte ${endPosition}, and none is missing.`,
        command: this.recoverCommand,
      });
    }
    for (const missing of plan.missingSegments) {
      this.add('missing_segment', {
        path: storePath(this.#context, missing.baseOffset),
        lost: [{ from: missing.baseOffset, to: missing.nextOffset }],
        message: `The segment that holds offsets ${missing.baseOffset} to before ${missing.nextOffset} is ${this.#isEmptied(missing) ? 'empty: its store has no bytes' : 'not there'}.`,
        command: this.recoverCommand,
      });
    }
    if (plan.isSettingsUnsound) {
      this.add('topic_settings', {
        path: join(this.#context.directory, 'topic.json'),
        message:
          'topic.json is missing or damaged: nothing is deleted from this topic until it has a sound one.',
        command: this.recoverCommand,
      });
    }
  }

  #damagedRegion(region: RegionRepair): Finding {
    const { code, position, endPosition, offset, nextOffset, layout } = region;
    return this.#finding(code as FindingCode, {
      path: this.#actualPath(storePath(this.#context, region.baseOffset)),
      position,
      bytes: endPosition - position,
      lost: layout.lost,
      message: `${sentenceOf(region)} Offset ${offset} was expected here, and what follows is offset ${nextOffset}.`,
      command: this.recoverCommand,
    });
  }

  noteCut(cut: TailCut): void {
    this.add('torn_tail', {
      path: storePath(this.#context, cut.baseOffset),
      position: cut.position,
      bytes: cut.byteCount,
      message: `A writer died, or its write failed, and left this end: nothing of it was acknowledged. By the next writer or by recover it is ${cutPhrase(cut)}.`,
    });
  }

  /** Good frames behind the mark. */
  noteUnsettled({ baseOffset, position, byteCount }: TailCut): void {
    this.add('torn_tail', {
      path: storePath(this.#context, baseOffset),
      position,
      bytes: byteCount,
      message: `A writer died before it could move the high-water mark: ${byteCount} bytes of good frames lie behind it, and the next writer or recover adopts them.`,
    });
  }

  #isEmptied({ baseOffset }: { baseOffset: number }): boolean {
    return storeBytes(this.#context, baseOffset) === 0;
  }

  /** Files that are no part of the log; of those that lie where a segment is missing it is said why. */
  /** @param seen.isRolling whether a writer is about to go on in an empty store that lies ahead of the mark */
  noteFiles(
    mark: HighWatermark,
    { missingSegments, isRolling }: Pick<RecoveryPlan, 'missingSegments'> & { readonly isRolling: boolean },
  ): void {
    const { below, empty, superseded } = listSegments(this.#context, mark);
    const left = isRolling ? empty.filter((baseOffset) => baseOffset < mark.nextOffset) : empty;
    const leftovers = new Set([...below, ...left, ...superseded]);
    for (const name of this.#context.fileSystem.list(this.#context.directory) ?? []) {
      const file = classifyTopicFile(name);
      const path = join(this.#context.directory, name);
      if (file.type === 'unknown') {
        this.add('unknown_file', { path, message: 'This file is no part of the log and is never touched.' });
      } else if (file.type === 'temporary' || (file.type === 'store' && leftovers.has(file.baseOffset))) {
        const base = file.type === 'store' ? file.baseOffset : -1;
        const missing = missingSegments.find(
          ({ baseOffset, nextOffset }) => baseOffset <= base && base < nextOffset,
        );
        // That it is empty was said where the segment was found missing.
        if (missing?.baseOffset === base) continue;
        this.add('leftover', {
          path,
          message:
            missing === undefined
              ? 'Interrupted work left this file; it is no part of the log.'
              : 'This store is empty: what it held is among what is missing.',
        });
      }
    }
  }

  /** Once for each file, however often it is looked at. */
  noteUnreadable(path: string, error: { readonly message: string }): void {
    if (this.#unreadable.has(path)) return;
    this.#unreadable.add(path);
    this.#note('io_error', { path, message: `${error.message} What it holds is unknown.` });
  }

  get recoverCommand(): string {
    return commandLine(this.#context, `recover ${this.#context.topic} --dry-run`);
  }

  add(code: FindingCode, finding: NewFinding): void {
    this.#note(code, { ...finding, path: this.#actualPath(finding.path) });
  }

  #note(code: FindingCode, finding: NewFinding): void {
    this.#parts.push([this.#finding(code, finding)]);
  }

  #finding(code: FindingCode, finding: NewFinding): Finding {
    return {
      code,
      severity: FINDING_SEVERITY[code],
      topic: this.#context.topic,
      position: undefined,
      bytes: undefined,
      lost: [],
      command: undefined,
      ...finding,
    };
  }
}

type NewFinding = { path: string; message: string } & Partial<
  Pick<Finding, 'position' | 'bytes' | 'lost' | 'command'>
>;

function sentenceOf({ code, moved, givenCount }: RegionRepair): string {
  const movedCount = moved.filter(({ source }) => source === undefined).length + givenCount;
  switch (code) {
    case 'bad_checksum':
      return 'A frame does not check out.';
    case 'missing_tail':
      return 'The log ends before its high-water mark: acknowledged records are missing.';
    case 'foreign_bytes':
      return 'Bytes that are no frames stand here, and no offset is missing.';
    case 'misplaced_frames':
      return movedCount === 1
        ? 'The frame here checks out at another offset than where it stands.'
        : `${movedCount} frames here check out at other offsets than where they stand.`;
    default:
      return 'The bounds of frames are lost here.';
  }
}
