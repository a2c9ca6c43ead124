/**
 * `verify` again and again beside writers that are killed and restarted on small segments, and beside `recover`, which
 * settles what they leave: it must never find an error, and nobody may be kept from working.
 */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { outcomeOf, Sandbox } from '../cli/fastqueue.ts';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { verifyTopic } from '../../src/engine/verification/verify.ts';

/** For so long, and until so much has happened, however busy the machine is. */
export async function verifyBesideWriters(atLeast: {
  durationMs: number;
  verifications: number;
  kills: number;
  recoveries: number;
}): Promise<{ verifications: number; kills: number }> {
  const sandbox = new Sandbox();
  const endsAt = Date.now() + atLeast.durationMs;
  let [verifications, kills, recoveries] = [0, 0, 0];
  let hasFailed = false;
  const isGoingOn = (): boolean =>
    !hasFailed &&
    (Date.now() < endsAt ||
      verifications < atLeast.verifications ||
      kills < atLeast.kills ||
      recoveries < atLeast.recoveries);
  const failing = (error: unknown): never => {
    hasFailed = true;
    throw error;
  };
  const writer = async (name: string): Promise<void> => {
    while (isGoingOn()) {
      const child = sandbox.start(['produce', 't', '--batch-bytes', '8k', '--ack', 'none']);
      child.stdin.on('error', () => undefined);
      const chunk = `${`${name} `.repeat(20)}\n`.repeat(500);
      const feed = setInterval(() => child.stdin.write(chunk), 5);
      await wait(200 + Math.random() * 400);
      clearInterval(feed);
      const ended = outcomeOf(child);
      child.kill('SIGKILL');
      kills += 1;
      await ended;
    }
  };
  try {
    await sandbox.run(['topics', 'create', 't', '--set', 'segmentBytes=64kB', '--set', 'retentionBytes=2MB']);
    const context = openDataDirectory(sandbox.dataDirectory).context('t');
    const recovering = async (): Promise<void> => {
      while (isGoingOn()) {
        const { status, stderr } = await sandbox.run(['recover', 't', '--json']);
        expect(status, stderr).to.equal(0);
        recoveries += 1;
        await wait(300);
      }
    };
    const others = Promise.all([writer('one'), writer('two'), recovering()]).catch(failing);
    for (; isGoingOn(); verifications++) {
      const { findings } = await verifyTopic(context, {
        quick: verifications % 4 === 3,
        onBytes: () => undefined,
      });
      const alarms = [...findings].filter(({ severity }) => severity === 'error');
      expect(alarms, JSON.stringify(alarms)).to.deep.equal([]);
      await wait(1);
    }
    await others;
    return { verifications, kills };
  } catch (error) {
    return failing(error);
  } finally {
    sandbox.remove();
  }
}
