import { expect } from 'chai';
import { copyFileSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';
import { readTopicFiles } from '../support/log-files.ts';
import { manyProcesses, turnsBesideABusyWriter } from '../support/many-processes.ts';

describe('many processes on one topic', () => {
  it('four writers, one killed and restarted, two followers and a random reader agree on the log', async () => {
    await manyProcesses(3000, 2);
  });

  it('give each other their turn', async () => {
    const waits = await turnsBesideABusyWriter(50);
    expect(waits[Math.floor(waits.length * 0.9)]).to.be.lessThan(2000);
  });
});

describe('a writer that stays open', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => {
    sandbox.remove();
  });

  const stored = (): string[] =>
    readTopicFiles(join(sandbox.dataDirectory, 't')).map(({ payload }) => payload.toString());

  function replaceByCopy(suffix: string): void {
    const directory = join(sandbox.dataDirectory, 't');
    const name = readdirSync(directory).find((candidate) => candidate.endsWith(suffix))!;
    copyFileSync(join(directory, name), join(directory, 'copy'));
    renameSync(join(directory, 'copy'), join(directory, name));
  }

  for (const suffix of ['.store', 'high-watermark', '.index']) {
    it(`never acknowledges into an unlinked file when its ${suffix} is replaced`, async () => {
      const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('t', {
        mode: 'append',
        create: {},
      });
      await topic.append([Buffer.from('a')]);
      replaceByCopy(suffix);
      expect((await topic.append([Buffer.from('b')])).offset).to.equal(1);
      const other = await sandbox.run(['produce', 't'], { input: 'c\n' });
      expect(other.status, other.stderr).to.equal(0);
      expect((await topic.append([Buffer.from('d')])).offset).to.equal(3);
      await topic.close();
      expect(stored()).to.deep.equal(['a', 'b', 'c', 'd']);
    });
  }

  it('goes on in the new topic of that name when its own was deleted', async () => {
    const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('t', {
      mode: 'append',
      create: {},
    });
    await topic.append([Buffer.from('old')]);
    await sandbox.run(['topics', 'delete', 't', '--yes']);
    let refusal: unknown;
    await topic.append([Buffer.from('nowhere')]).catch((error: unknown) => (refusal = error));
    expect(refusal).to.have.property('code', 'topic_not_found');
    await sandbox.run(['topics', 'create', 't']);
    expect((await topic.append([Buffer.from('new')])).offset).to.equal(0);
    await topic.close();
    expect(stored()).to.deep.equal(['new']);
  });

  it('finds no topic, and no damage, in one that is only being made', async () => {
    const topic = await openDataDirectory(sandbox.dataDirectory).openTopic('t', {
      mode: 'append',
      create: {},
    });
    await topic.append([Buffer.from('old')]);
    await sandbox.run(['topics', 'delete', 't', '--yes']);
    const directory = join(sandbox.dataDirectory, 't');
    // As far as a creator has come at each of its first steps.
    mkdirSync(directory);
    for (const made of ['holder', 'high-watermark', '00000000000000000000.store']) {
      writeFileSync(join(directory, made), '');
      let refusal: unknown;
      await topic.append([Buffer.from('nowhere')]).catch((error: unknown) => (refusal = error));
      expect(refusal).to.have.property('code', 'topic_not_found');
    }
    await topic.close();
  });

  it('shares a topic with another in the same process', async () => {
    const open = (): ReturnType<ReturnType<typeof openDataDirectory>['openTopic']> =>
      openDataDirectory(sandbox.dataDirectory).openTopic('t', {
        mode: 'append',
        create: { segmentBytes: 4096 },
      });
    const topics = [await open(), await open()];
    const acks = await Promise.all(
      Array.from({ length: 400 }, async (_, at) => ({
        at,
        ...(await topics[at % 2]!.append([Buffer.from(`record ${at}`)])),
      })),
    );
    for (const topic of topics) await topic.close();
    const lines = stored();
    expect(lines).to.have.length(400);
    for (const { at, offset } of acks) expect(lines[offset]).to.equal(`record ${at}`);
  });
});

describe('consume -g', () => {
  it('skips no record when it is killed at random', async () => {
    const sandbox = new Sandbox();
    try {
      const total = 30_000;
      await sandbox.run(['produce', 't', '--batch-bytes', '4k'], {
        input: Array.from({ length: total }, (_, at) => `${at}\n`).join(''),
      });
      let nextWanted = 0;
      for (let round = 0; nextWanted < total; round++) {
        const child = sandbox.start(['consume', 't', '-g', 'g']);
        if (round < 6)
          child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), Math.random() * 8));
        const { stdout } = await outcomeOf(child);
        const printed = stdout.toString().split('\n').slice(0, -1).map(Number);
        if (printed.length === 0) continue;
        expect(printed[0], 'nothing between what was printed before and now').to.be.at.most(nextWanted);
        printed.forEach((number, at) => {
          expect(number).to.equal(printed[0]! + at);
        });
        nextWanted = Math.max(nextWanted, printed.at(-1)! + 1);
      }
    } finally {
      sandbox.remove();
    }
  });
});
