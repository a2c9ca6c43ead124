/** A store that somebody made larger: zeros behind its frames, as `truncate -s` makes them, or anything else. */
import { expect } from 'chai';
import { randomFillSync } from 'node:crypto';
import { appendFileSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { verifyTopic, type VerifyReport } from '../../../src/engine/verification/verify.ts';
import { lostOffsets, RecoveryScene } from '../../support/recovery-scene.ts';

const STORE = '00000000000000000000.store';
const ZERO_BYTES = 64 * 1024 * 1024;

describe('a store that was made larger', function () {
  this.timeout(60_000);
  const scene = new RecoveryScene();

  before(async () => {
    await scene.fill([[1, 2, 3], [2, 2], [1]], {
      payload: (offset) => Buffer.from(`record ${offset} `.padEnd(10 + ((offset * 37) % 180), '.')),
    });
  });

  beforeEach(() => {
    scene.reset();
  });

  after(() => {
    scene.remove();
  });

  const path = join(scene.directory, STORE);

  function verify(): Promise<VerifyReport> {
    return verifyTopic(scene.scratch.context(scene.fileSystem), { quick: false, onBytes: () => undefined });
  }

  async function expectForeignBytes(frameBytes: number, foreignBytes: number): Promise<void> {
    const { findings, lost } = await verify();
    const found = [...findings].map(({ code, position, bytes }) => ({ code, position, bytes }));
    expect(found).to.deep.equal([{ code: 'foreign_bytes', position: frameBytes, bytes: foreignBytes }]);
    expect([...lost]).to.deep.equal([]);
  }

  it('with 64 MiB of zeros loses no record, gets padding there, and undo gives the zeros back', async () => {
    const frameBytes = statSync(path).size;
    truncateSync(path, frameBytes + ZERO_BYTES);
    await expectForeignBytes(frameBytes, ZERO_BYTES);

    const report = await scene.recover();
    expect([...lostOffsets(report)]).to.deep.equal([]);
    expect([...report.repairs].map(({ code, repair }) => [code, repair])).to.deep.equal([
      ['foreign_bytes', 'becomes padding'],
    ]);
    expect([...(await verify()).findings]).to.deep.equal([]);
    expect(await scene.differences(new Set())).to.deep.equal([]);

    const run = report.runs[0]!;
    const copies = readdirSync(run.path).filter((name) => name.startsWith(STORE));
    const copy = statSync(join(run.path, copies[0]!));
    expect(copy.size).to.equal(ZERO_BYTES);
    expect(copy.blocks * 512, 'room that the copy takes on the disk').to.be.lessThan(ZERO_BYTES / 16);

    await scene.undoAll();
    await expectForeignBytes(frameBytes, ZERO_BYTES);
    truncateSync(path, frameBytes);
    expect([...(await verify()).findings]).to.deep.equal([]);
  });

  it('is verified with progress, a few MiB at a time and no more than there are', async () => {
    truncateSync(path, ZERO_BYTES);
    const told: number[] = [];
    await verifyTopic(scene.scratch.context(scene.fileSystem), {
      quick: false,
      onBytes: (byteCount) => told.push(byteCount),
    });
    expect(Math.max(...told)).to.be.lessThan(4 * 1024 * 1024);
    const stores = readdirSync(scene.directory).filter((name) => name.endsWith('.store'));
    const sizes = stores.map((name) => statSync(join(scene.directory, name)).size);
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
    expect(sum(told)).to.equal(sum(sizes));
    let total = 0;
    for (const byteCount of told) expect((total += byteCount)).to.be.at.most(sum(sizes));
  });

  it('with 16 MiB of anything loses no record either', async () => {
    const frameBytes = statSync(path).size;
    const garbage = randomFillSync(Buffer.alloc(16 * 1024 * 1024));
    appendFileSync(path, garbage);
    await expectForeignBytes(frameBytes, garbage.length);
  });

  it('and the active one too: it is no torn tail, and loses no record', async () => {
    const active = join(scene.directory, '00000000000000000010.store');
    const frameBytes = statSync(active).size;
    truncateSync(active, frameBytes + 48 * 1024 * 1024);
    expect([...(await verify()).findings].map(({ code }) => code)).to.deep.equal(['foreign_bytes']);
    const before = await scene.recover({ dryRun: true });
    const report = await scene.recover();
    expect([...report.repairs].map(({ code, repair }) => [code, repair])).to.deep.equal([
      ['foreign_bytes', 'becomes padding'],
    ]);
    expect([...before.repairs]).to.deep.equal([...report.repairs]);
    expect(await scene.differences(new Set())).to.deep.equal([]);
    expect([...(await verify()).findings]).to.deep.equal([]);
  });
});
