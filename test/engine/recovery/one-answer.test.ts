/**
 * What lies behind the mark, beside damage before it: verify, a dry run, a repaired copy and recover name the same places
 * and the same losses.
 */
import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  decodeHighWatermark,
  encodeHighWatermark,
  MARK_FLAG,
  type HighWatermark,
} from '../../../src/engine/format/high-watermark.ts';
import { recoverTopic, type RecoverReport } from '../../../src/engine/recovery/recover.ts';
import type { LostOffsets } from '../../../src/engine/recovery/plan.ts';
import { verifyTopic } from '../../../src/engine/verification/verify.ts';
import {
  framePositions,
  lostOffsets,
  RecoveryScene,
  snapshotOf,
  storesOf,
} from '../../support/recovery-scene.ts';

const SEALED = '00000000000000000003.store';
const ACTIVE = '00000000000000000007.store';
const TORN = Buffer.from('torn bytes');

/** Where it is, and what is lost there. */
interface Place {
  readonly code: string;
  readonly path: string;
  readonly position: number | undefined;
  readonly bytes: number | undefined;
  readonly lost: readonly LostOffsets[];
}

describe('what lies behind the mark', () => {
  const scene = new RecoveryScene();
  const outDirectory = join(scene.scratch.directory, 'out');

  before(async () => {
    await scene.fillInTime(
      [
        [2, 1],
        [1, 1, 2],
        [3, 1, 1, 2, 1],
      ],
      { payload: (offset) => Buffer.from(`record ${offset} `.padEnd(90 + offset, '.')) },
    );
  });

  after(() => {
    scene.remove();
  });

  const recover = (more: { dryRun?: boolean; out?: string } = {}): Promise<RecoverReport> =>
    recoverTopic(scene.scratch.context(scene.fileSystem), {
      dryRun: false,
      tryBitFlip: false,
      lockTimeoutMs: 2000,
      ...more,
    });

  /** Of an index everybody says what it is to them: it is not copied, and missing it is no work. */
  function placesOf(found: Iterable<Place>): string[] {
    return [...found]
      .filter(({ code }) => !code.startsWith('index_'))
      .map(({ code, path, position, bytes, lost }) => {
        const ranges = [...lost].map(({ from, to }) => `${from} to before ${to}`).join(', ');
        return `${code} ${basename(path)} ${position ?? ''} ${bytes ?? ''} ${ranges}`;
      })
      .sort();
  }

  /** The one answer to a damage: the places in it, as recover reports them. */
  async function answerTo(changes: ReadonlyMap<string, Buffer | undefined>): Promise<string[]> {
    scene.reset(changes);
    const before = snapshotOf(scene.directory);
    const verified = await verifyTopic(scene.scratch.context(scene.fileSystem), {
      quick: false,
      onBytes: () => undefined,
    });
    const preview = await recover({ dryRun: true });
    rmSync(outDirectory, { recursive: true, force: true });
    const copied = await recover({ out: outDirectory });
    expect(snapshotOf(scene.directory)).to.deep.equal(before);
    const done = await recover();
    const answer = placesOf(done.repairs);
    expect(placesOf(verified.findings), 'verify').to.deep.equal(answer);
    expect(placesOf(preview.repairs), 'dry run').to.deep.equal(answer);
    expect(placesOf(copied.repairs), '--out').to.deep.equal(answer);
    const phrases = ({ repairs }: RecoverReport): string[] =>
      [...repairs].filter(({ code }) => code === 'torn_tail').map(({ repair }) => repair);
    expect([phrases(preview), phrases(copied)]).to.deep.equal([phrases(done), phrases(done)]);
    for (const phrase of phrases(done))
      expect([...verified.findings].filter(({ message }) => message.includes(phrase))).to.have.length(1);
    for (const each of [verified, preview, copied]) expect([...each.lost]).to.deep.equal([...done.lost]);
    expect(storesOf(snapshotOf(join(outDirectory, 't')))).to.deep.equal(scene.stores());
    expect(await scene.differences(lostOffsets(done))).to.deep.equal([]);
    return answer;
  }

  const healthy = (name: string): Buffer => Buffer.from(scene.healthy.get(name) as Buffer);
  const framesOf = (name: string): number[] => framePositions(healthy(name));

  /** A store with one bit flipped in each of these frames, counted from its end where the number is negative. */
  function flipped(name: string, hits: readonly { frame: number; byte: number }[]): Buffer {
    const store = healthy(name);
    const starts = framesOf(name).slice(0, -1);
    for (const { frame, byte } of hits) {
      const at = (starts.at(frame) as number) + byte;
      store[at] = (store[at] as number) ^ 0x40;
    }
    return store;
  }

  /** The mark as it was so many records earlier. */
  function markBefore(count: number): Buffer {
    const mark = decodeHighWatermark(healthy('high-watermark')) as HighWatermark;
    const [last, position] = framesOf(ACTIVE).slice(-2 - count) as [number, number];
    const timestamp = Number(healthy(ACTIVE).readBigInt64BE(last + 4));
    return encodeHighWatermark({ ...mark, nextOffset: mark.nextOffset - count, position, timestamp });
  }

  const indexes = (): [string, undefined][] =>
    [...scene.healthy.keys()].filter((name) => name.endsWith('.index')).map((name) => [name, undefined]);

  for (const withIndex of [true, false])
    describe(withIndex ? 'with indexes' : 'without indexes', () => {
      const answer = (changes: readonly (readonly [string, Buffer | undefined])[]): Promise<string[]> =>
        answerTo(new Map([...(withIndex ? [] : indexes()), ...changes]));
      const end = (): number => healthy(ACTIVE).length;

      it('is a torn tail, and nothing else is damaged', async () => {
        const store = Buffer.concat([healthy(ACTIVE), TORN]);
        expect(await answer([[ACTIVE, store]])).to.deep.equal([`torn_tail ${ACTIVE} ${end()} 10 `]);
      });

      it('is a torn tail behind the one good frame that stands behind two of damaged bounds', async () => {
        const damaged = flipped(ACTIVE, [
          { frame: -3, byte: 2 },
          { frame: -2, byte: 2 },
        ]);
        const [first, , last] = framesOf(ACTIVE).slice(-4) as [number, number, number];
        expect(await answer([[ACTIVE, Buffer.concat([damaged, TORN])]])).to.deep.equal([
          `bad_length ${ACTIVE} ${first} ${last - first} 12 to before 14`,
          `torn_tail ${ACTIVE} ${end()} 10 `,
        ]);
      });

      it('is a torn tail beside damage of this segment and of a sealed one', async () => {
        const answered = await answer([
          [SEALED, flipped(SEALED, [{ frame: 1, byte: 20 }])],
          [ACTIVE, Buffer.concat([flipped(ACTIVE, [{ frame: 1, byte: 20 }]), TORN])],
        ]);
        expect(answered.map((place) => place.split(' ').at(0))).to.deep.equal([
          'bad_checksum',
          'bad_checksum',
          'torn_tail',
        ]);
      });

      it('is a torn tail behind good frames that are adopted', async () => {
        const store = Buffer.concat([healthy(ACTIVE), TORN]);
        const changes = [
          [ACTIVE, store],
          ['high-watermark', markBefore(3)],
        ] as const;
        expect(await answer(changes)).to.deep.equal([`torn_tail ${ACTIVE} ${end()} 10 `]);
      });

      it('is a torn tail in a segment that the mark does not name yet', async () => {
        const mark = decodeHighWatermark(healthy('high-watermark')) as HighWatermark;
        const [last, position] = framesOf(SEALED).slice(-2) as [number, number];
        const timestamp = Number(healthy(SEALED).readBigInt64BE(last + 4));
        const stale = { ...mark, baseOffset: 3, nextOffset: 7, position, timestamp };
        const changes = [
          [ACTIVE, Buffer.concat([healthy(ACTIVE), TORN])],
          ['high-watermark', encodeHighWatermark(stale)],
        ] as const;
        expect(await answer(changes)).to.deep.equal([`torn_tail ${ACTIVE} ${end()} 10 `]);
      });

      it('is damage, and what was acknowledged there is named as lost', async () => {
        const changes = [
          [ACTIVE, flipped(ACTIVE, [{ frame: -4, byte: 20 }])],
          ['high-watermark', markBefore(5)],
        ] as const;
        const [start, next] = framesOf(ACTIVE).slice(-5) as [number, number];
        expect(await answer(changes)).to.deep.equal([
          `bad_checksum ${ACTIVE} ${start} ${next - start} 11 to before 12`,
        ]);
      });

      it('is a torn tail where the mark is missing', async () => {
        const store = Buffer.concat([healthy(ACTIVE), TORN]);
        const changes = [
          [ACTIVE, store],
          ['high-watermark', undefined],
        ] as const;
        expect(await answer(changes)).to.deep.equal([
          'mark_unsound high-watermark   ',
          `torn_tail ${ACTIVE} ${end()} 10 `,
        ]);
      });

      it('is cut at the mark where a sync failed', async () => {
        const mark = decodeHighWatermark(healthy('high-watermark')) as HighWatermark;
        const failed = encodeHighWatermark({ ...mark, flags: MARK_FLAG.failed });
        const changes = [
          [ACTIVE, Buffer.concat([healthy(ACTIVE), TORN])],
          ['high-watermark', failed],
        ] as const;
        expect(await answer(changes)).to.deep.equal([`torn_tail ${ACTIVE} ${end()} 10 `]);
      });
    });
});
