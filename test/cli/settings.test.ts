/**
 * Every setting of the table: set in each place where it may be set, which place wins, and the refusal of what is wrong.
 */
import { expect } from 'chai';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OptionFlag } from '@oclif/core/interfaces';
import { resolveCommandSettings, settingFlag } from '../../src/cli/command-settings.ts';
import { parseSettingPairs, setTopicSettings } from '../../src/cli/topics/topics.ts';
import { COMMAND_LOADERS } from '../../src/commands/index.ts';
import { openDataDirectory } from '../../src/engine/data-directory.ts';
import { FastQueueError } from '../../src/engine/errors.ts';
import { SERVE_LOCK_TIMEOUT_MS } from '../../src/engine/limits.ts';
import { formatSettingValue, SETTINGS, type Setting, type SettingName } from '../../src/engine/settings.ts';
import { Sandbox } from './fastqueue.ts';

/** As text, and what it means: one for fastqueue.json, one for the environment, one for whoever is nearest. */
const VALUES: Record<Setting['type'], readonly (readonly [text: string, value: number])[]> = {
  size: [
    ['2k', 2048],
    ['3KiB', 3072],
    ['4kB', 4000],
  ],
  duration: [
    ['2s', 2000],
    ['3000ms', 3000],
    ['1m', 60_000],
  ],
  boolean: [
    ['off', 0],
    ['on', 1],
    ['false', 0],
  ],
};

const ROWS: readonly Setting[] = SETTINGS;
const TOPIC_ROWS = ROWS.filter(({ scope }) => scope === 'topic');
const COMMAND_ROWS = ROWS.filter(({ scope }) => scope === 'command');

/** A name with two letters exchanged. */
const misspelt = (name: string): string => name.replace(/(.)(.)(.)$/, '$1$3$2');

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).to.be.instanceOf(FastQueueError).and.include({ code: 'invalid_argument' });
    return (error as Error).message;
  }
  throw new Error('it was not refused');
}

describe('settings', () => {
  let directory: string;
  let saved: NodeJS.ProcessEnv;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fastqueue-test-'));
    saved = { ...process.env };
  });

  afterEach(() => {
    process.env = saved;
    rmSync(directory, { recursive: true, force: true });
  });

  const inFile = (settings: Record<string, unknown>): void => {
    writeFileSync(join(directory, 'fastqueue.json'), JSON.stringify(settings));
  };

  /** What is in force and from where, for a command that was given this value, or none. */
  function inForce(setting: Setting, given?: string): [value: number, source: string] {
    const data = openDataDirectory(directory);
    const name = setting.name as SettingName;
    if (setting.scope === 'topic') {
      const settings = given === undefined ? {} : parseSettingPairs([`${name}=${given}`]);
      const found = data.resolveSettings(settings)[name as keyof typeof settings];
      return [found.value, found.origin];
    }
    const value =
      given === undefined ? undefined : VALUES[setting.type].find(([text]) => text === given)?.[1];
    const [found] = resolveCommandSettings(data, { [name]: value } as Record<SettingName, undefined>).inForce;
    return [found!.value, found!.source];
  }

  for (const setting of ROWS) {
    const [[file, fileValue], [environment, environmentValue], [given, givenValue]] = VALUES[
      setting.type
    ] as [readonly [string, number], readonly [string, number], readonly [string, number]];
    const isTopic = setting.scope === 'topic';

    it(`${setting.name}: what is given wins over the environment, that over fastqueue.json, that over the default`, () => {
      expect(inForce(setting)).to.deep.equal([setting.default, 'default']);
      inFile({ [setting.name]: file });
      expect(inForce(setting)).to.deep.equal([fileValue, 'fastqueue.json']);
      process.env[setting.environmentVariable] = environment;
      const variable = isTopic ? 'environment' : setting.environmentVariable;
      expect(inForce(setting)).to.deep.equal([environmentValue, variable]);
      const source = isTopic ? 'given' : `--${setting.flag ?? setting.name}`;
      expect(inForce(setting, given)).to.deep.equal([givenValue, source]);
    });

    it(`${setting.name}: takes numbers in fastqueue.json too, and refuses there what is wrong, naming the file`, () => {
      inFile({ [setting.name]: setting.max });
      expect(inForce(setting)[0]).to.equal(setting.max);
      inFile({ [setting.name]: setting.max + 1 });
      expect(refusal(() => inForce(setting)))
        .to.include('fastqueue.json')
        .and.include(setting.name);
    });

    it(`${setting.name}: a name that is nearly right is refused naming it, wherever it stands`, () => {
      const wrong = misspelt(setting.name);
      inFile({ [wrong]: given });
      expect(refusal(() => inForce(setting))).to.include(`Did you mean ${setting.name}?`);
      if (isTopic)
        expect(refusal(() => parseSettingPairs([`${wrong}=1`]))).to.include(`Did you mean ${setting.name}?`);
    });

    it(`${setting.name}: a value out of bounds is refused naming the bounds`, () => {
      process.env[setting.environmentVariable] = { size: '2048T', duration: '99999d', boolean: '2' }[
        setting.type
      ];
      if (setting.max === Number.MAX_SAFE_INTEGER) process.env[setting.environmentVariable] = '1';
      expect(refusal(() => inForce(setting)))
        .to.include(setting.name)
        .and.include(formatSettingValue(setting, setting.max));
    });

    it(`${setting.name}: ${setting.mayBeOff ? 'none and 0 switch it off' : 'none is refused'}`, () => {
      for (const off of ['none', '0']) {
        process.env[setting.environmentVariable] = off;
        if (setting.mayBeOff) expect(inForce(setting)[0]).to.equal(0);
        else if (off === 'none' || setting.min > 0) refusal(() => inForce(setting));
      }
    });
  }

  for (const setting of TOPIC_ROWS) {
    it(`${setting.name}: is stored when the topic is created, and from then on changed by "topics set" only`, async () => {
      const [[, fileValue], [environment], [given, givenValue]] = VALUES[setting.type] as [
        readonly [string, number],
        readonly [string, number],
        readonly [string, number],
      ];
      inFile({ [setting.name]: fileValue });
      const data = openDataDirectory(directory);
      await (await data.createTopic('t')).close();
      const stored = (): unknown =>
        (JSON.parse(readFileSync(join(directory, 't', 'topic.json'), 'utf8')) as { settings: object })
          .settings;
      expect(stored()).to.include({ [setting.name]: fileValue });
      inFile({});
      process.env[setting.environmentVariable] = environment;
      const topic = await data.openTopic('t', { mode: 'append', create: parseSettingPairs([]) });
      expect((await topic.status()).settings).to.include({ [setting.name]: fileValue });
      await topic.close();
      const changed = await setTopicSettings(data, 't', parseSettingPairs([`${setting.name}=${given}`]));
      expect(changed.settings).to.include({ [setting.name]: givenValue });
      expect(stored()).to.include({ [setting.name]: givenValue });
    });
  }

  for (const setting of COMMAND_ROWS) {
    it(`${setting.name}: is none of a topic, which "topics set" says`, () => {
      expect(refusal(() => parseSettingPairs([`${setting.name}=1`]))).to.include('There is no topic setting');
    });
  }

  for (const setting of ROWS.filter(({ flag }) => flag !== undefined)) {
    it(`--${setting.flag}: is a flag whose help and bounds are those of ${setting.name}`, async () => {
      const commands = await Promise.all(Object.values(COMMAND_LOADERS).map((load) => load()));
      // A command without flags of its own has none, whatever its type says.
      const flags = commands.map(
        ({ default: { flags: own, baseFlags } }) => ({ ...baseFlags, ...own })[setting.flag as string],
      );
      const found = flags.filter((flag) => flag !== undefined);
      expect(found).not.to.have.lengthOf(0);
      // A client waits behind the lock, so that `serve` has a default of its own.
      const ofServe = setting.name === 'lockTimeoutMs' ? [SERVE_LOCK_TIMEOUT_MS] : [];
      const summaries = [undefined, ...ofServe].map(
        (ownDefault) => settingFlag(setting.name as SettingName, ownDefault).summary,
      );
      expect([...new Set(found.map(({ summary }) => summary))]).to.have.members(summaries);
      const { parse } = found[0] as unknown as OptionFlag<number | undefined>;
      const read = parse as unknown as (text: string) => Promise<number>;
      const [, , [given, value]] = VALUES[setting.type] as never as [unknown, unknown, [string, number]];
      expect(await read(given)).to.equal(value);
      const error: unknown = await read('-1').catch((thrown: unknown) => thrown);
      expect((error as Error).message).to.include(`--${setting.flag}`);
    });
  }
});

describe('settings on the command line', () => {
  const sandbox = new Sandbox();

  before(() => {
    mkdirSync(sandbox.dataDirectory);
    const file = {
      batchBytes: '2k',
      lingerMs: 2000,
      lockTimeoutMs: '2s',
      retentionAgeMs: '2d',
      mergeBelowBytes: '2k',
    };
    writeFileSync(join(sandbox.dataDirectory, 'fastqueue.json'), JSON.stringify(file));
  });

  after(() => {
    sandbox.remove();
  });

  const config = async (...args: string[]): Promise<Record<string, string>> => {
    const env = {
      FASTQUEUE_LINGER: '3s',
      FASTQUEUE_LOCK_TIMEOUT: '3s',
      FASTQUEUE_RETENTION_AGE: '3d',
      FASTQUEUE_MAX_RECORD_BYTES: '3k',
      FASTQUEUE_MERGE_BELOW: '3k',
    };
    const { stdout, stderr, status } = await sandbox.run([...args, '--print-config', '--json'], { env });
    expect(status, stderr).to.equal(0);
    const { settings } = JSON.parse(stdout.toString()) as {
      settings: { name: string; text: string; source: string }[];
    };
    return Object.fromEntries(settings.map(({ name, text, source }) => [name, `${text} ${source}`]));
  };

  it('produce says what is in force and where each value came from', async () => {
    expect(await config('produce', 't', '--linger', '4s')).to.deep.equal({
      batchBytes: '2 KiB fastqueue.json',
      lingerMs: '4s --linger',
      maxRecordBytes: '3 KiB FASTQUEUE_MAX_RECORD_BYTES',
      lockTimeoutMs: '3s FASTQUEUE_LOCK_TIMEOUT',
    });
  });

  it('compact does', async () => {
    expect(await config('compact', '--lock-timeout', '4s')).to.deep.equal({
      mergeBelowBytes: '3 KiB FASTQUEUE_MERGE_BELOW',
      lockTimeoutMs: '4s --lock-timeout',
    });
  });

  it('compact says so of the retention that it was given, and not of that which is stored in topics', async () => {
    expect(await config('compact', '--retain-age', '4d', '--retain-bytes', 'none')).to.deep.equal({
      retentionAgeMs: '4d --retain-age',
      retentionBytes: 'none --retain-bytes',
      mergeBelowBytes: '3 KiB FASTQUEUE_MERGE_BELOW',
      lockTimeoutMs: '3s FASTQUEUE_LOCK_TIMEOUT',
    });
  });

  it('topics create does', async () => {
    expect(await config('topics', 'create', 't', '--set', 'segmentBytes=4k')).to.deep.equal({
      segmentBytes: '4 KiB --set',
      indexIntervalBytes: '1 KiB default',
      retentionAgeMs: '3d FASTQUEUE_RETENTION_AGE',
      retentionBytes: 'none default',
    });
  });
});
