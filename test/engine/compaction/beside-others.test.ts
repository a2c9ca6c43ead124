/**
 * compact and retention, ended at every change that they make of the disk, and with each of them failing, beside two
 * writers and two followers that never stop.
 */
import { expect } from 'chai';
import { compactTopic, type CompactReport } from '../../../src/engine/compaction/compact.ts';
import { FaultyFileSystem } from '../../support/faulty-file-system.ts';
import { LiveTopic } from '../../support/live-topic.ts';

const SEGMENT_BYTES = 2048;
const OPTIONS = { dryRun: false, mergeBelowBytes: 8192, retainBytes: 40_000, lockTimeoutMs: 20_000 };

describe('compact beside two writers and two followers', function () {
  this.timeout(300_000);
  let live: LiveTopic;

  before(async () => {
    live = new LiveTopic();
    await live.create([`segmentBytes=${SEGMENT_BYTES}`, 'indexIntervalBytes=256']);
    for (let pair = 0; pair < 2; pair++) {
      live.startWriter();
      live.startFollower();
    }
  });

  after(async () => {
    await live.remove();
  });

  /** Until there are segments that can be merged, and usually some to be dropped. */
  async function moreSegments(): Promise<void> {
    let planned: CompactReport;
    do {
      await live.moreRecords(60);
      planned = await compactTopic(live.context, { ...OPTIONS, dryRun: true });
    } while (planned.rewrites.length === 0);
  }

  const compact = (fileSystem?: FaultyFileSystem): Promise<CompactReport> =>
    compactTopic(fileSystem === undefined ? live.context : { ...live.context, fileSystem }, OPTIONS);

  for (const type of ['die', 'fail'] as const) {
    it(`loses nothing when it is to ${type} at any change of the disk, and the next one finishes`, async () => {
      let merged = 0;
      let dropped = 0;
      for (let at = 1, rounds = 0; ; at++) {
        await moreSegments();
        const fileSystem = new FaultyFileSystem({ at, type });
        const isDone = await compact(fileSystem).then(
          () => true,
          () => false,
        );
        const finished = await compact();
        expect(finished.damaged).to.deep.equal([]);
        merged += finished.rewrites.length;
        dropped += finished.dropped.segments;
        if (at % 4 === 0) await live.expectVerified({ allowsNotes: true });
        // Once more changes were allowed than there are, all of them have had their turn.
        if (isDone && fileSystem.changeCount < at) rounds += 1;
        if (rounds === 1) {
          expect(at).to.be.greaterThan(20);
          break;
        }
      }
      expect(merged).to.be.greaterThan(0);
      expect(dropped).to.be.greaterThan(0);
    });
  }

  it('has left every acknowledged record within retention at its offset, once, and followers saw just these', async () => {
    const last = await compact();
    expect((await compact()).leftovers).to.deep.equal([]);
    const { startOffset } = await live.check();
    expect(startOffset).to.be.greaterThan(0);
    expect(last.segments).to.be.lessThan(40);
  });
});
