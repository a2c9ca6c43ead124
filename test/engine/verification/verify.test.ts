import { expect } from 'chai';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FastQueueError } from '../../../src/engine/errors.ts';
import { storeFileName } from '../../../src/engine/format/file-names.ts';
import { decodeHighWatermark, encodeHighWatermark } from '../../../src/engine/format/high-watermark.ts';
import {
  decodeIndexEntry,
  encodeIndexEntry,
  INDEX_ENTRY_BYTES,
} from '../../../src/engine/format/index-entry.ts';
import { NodeFileSystem } from '../../../src/engine/io/node-file-system.ts';
import type { Finding, OffsetRange } from '../../../src/engine/verification/findings.ts';
import { verifyTopic, type VerifyReport } from '../../../src/engine/verification/verify.ts';
import { PARALLEL_MIN_BYTES } from '../../../src/engine/limits.ts';
import { recoverTopic } from '../../../src/engine/recovery/recover.ts';
import { verifyLines } from '../../../src/cli/views/verify-view.ts';
import { Sandbox, type Outcome } from '../../cli/fastqueue.ts';
import { verifyBesideWriters } from '../../support/live-verification.ts';
import { ScratchTopic } from '../../support/scratch-topic.ts';

const FIRST = '00000000000000000000';

describe('verify', () => {
  let scratch: ScratchTopic;

  beforeEach(async () => {
    scratch = new ScratchTopic();
    await scratch.fill(40, { segmentBytes: 2048, indexIntervalBytes: 64 }, 100);
  });

  afterEach(() => {
    scratch.remove();
  });

  const verify = (quick = false): Promise<VerifyReport> =>
    verifyTopic(scratch.context(), { quick, onBytes: () => undefined });

  const codes = (report: VerifyReport): string[] => [...report.findings].map(({ code }) => code);

  it('finds nothing in a sound log, and counts all of it', async () => {
    const { segments, findings, lost } = await verify();
    expect([...findings]).to.deep.equal([]);
    expect([...lost]).to.deep.equal([]);
    expect(segments.reduce((sum, { records }) => sum + (records ?? 0), 0)).to.equal(40);
    expect(segments.length).to.be.greaterThan(2);
  });

  it('tells every byte to whoever shows progress', async () => {
    let bytes = 0;
    await verifyTopic(scratch.context(), { quick: false, onBytes: (count) => (bytes += count) });
    expect(bytes).to.equal(scratch.storeBytes());
  });

  const notes: [string, string, () => void][] = [
    [
      'an index that is missing',
      'index_missing',
      () => {
        rmSync(scratch.path(`${FIRST}.index`));
      },
    ],
    [
      'an index of zeros',
      'index_unsound',
      () => {
        writeFileSync(scratch.path(`${FIRST}.index`), Buffer.alloc(240));
      },
    ],
    [
      'an index of another segment',
      'index_contradicts',
      () => {
        const other = scratch.files('.index')[1]!;
        writeFileSync(scratch.path(`${FIRST}.index`), readFileSync(scratch.path(other)));
      },
    ],
    [
      'a file it does not know',
      'unknown_file',
      () => {
        writeFileSync(scratch.path('notes.txt'), 'mine');
      },
    ],
    [
      'what interrupted work left',
      'leftover',
      () => {
        writeFileSync(scratch.path('topic.json.tmp-1'), '');
      },
    ],
    [
      'a torn tail',
      'torn_tail',
      () => {
        appendFileSync(scratch.path(scratch.files('.store').at(-1)!), 'torn');
      },
    ],
  ];
  for (const [what, code, damage] of notes) {
    it(`notes ${what} and still calls the log sound`, async () => {
      damage();
      const report = await verify();
      expect(codes(report)).to.deep.equal([code]);
      expect([...report.findings][0]!.severity).to.equal('note');
    });
  }

  it('says of a store without bytes that it is empty, not that it is missing or was left by interrupted work', async () => {
    const [first, second, third] = scratch.files('.store');
    writeFileSync(scratch.path(second!), '');
    const one = await verify();
    const range = `${Number.parseInt(second!, 10)} to before ${Number.parseInt(third!, 10)}`;
    expect([...one.findings].map(({ code, path, message }) => [code, path, message])).to.deep.equal([
      [
        'missing_segment',
        scratch.path(second!),
        `The segment that holds offsets ${range} is empty: its store has no bytes.`,
      ],
    ]);
    writeFileSync(scratch.path(first!), '');
    const two = await verify();
    expect([...two.findings].map(({ code, path }) => [code, path])).to.deep.equal([
      ['missing_segment', scratch.path(first!)],
      ['leftover', scratch.path(second!)],
    ]);
    expect([...two.lost]).to.deep.equal([{ from: 0, to: Number.parseInt(third!, 10) }]);
    expect([...two.findings][1]!.message).to.equal(
      'This store is empty: what it held is among what is missing.',
    );
  });

  it('takes the empty store that a writer is about to go on in for no leftover', async () => {
    const topic = await scratch.open();
    const ahead = scratch.path(storeFileName(topic.expectedNextOffset));
    writeFileSync(ahead, '');
    const still = await verify();
    expect([...still.findings].map(({ code, path }) => [code, path])).to.deep.equal([['leftover', ahead]]);
    const [moving] = await Promise.all([verify(), delay(30).then(() => topic.append([Buffer.from('one')]))]);
    expect(codes(moving)).to.deep.equal([]);
    await topic.close();
  });

  it('says of a damaged end before a missing active segment what recover makes of it', async () => {
    const [last, active] = scratch.files('.store').slice(-2) as [string, string];
    rmSync(scratch.path(active));
    const bytes = readFileSync(scratch.path(last));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(scratch.path(last), bytes);
    const report = await verify();
    expect(codes(report)).to.deep.equal(['bad_checksum', 'missing_segment']);
    const options = { dryRun: false, tryBitFlip: false, lockTimeoutMs: 1000 };
    expect([...(await recoverTopic(scratch.context(), options)).lost]).to.deep.equal([...report.lost]);
    expect(codes(await verify())).to.deep.equal([]);
    expect([...(await recoverTopic(scratch.context(), options)).repairs]).to.deep.equal([]);
  });

  it('notes every store that lies behind a stale mark', async () => {
    const [first, second, ...rest] = scratch.files('.store');
    const bytes = statSync(scratch.path(first!)).size;
    const mark = decodeHighWatermark(readFileSync(scratch.path('high-watermark')))!;
    const stale = { ...mark, baseOffset: 0, nextOffset: Number.parseInt(second!, 10), position: bytes };
    writeFileSync(scratch.path('high-watermark'), encodeHighWatermark(stale));
    const { findings } = await verify();
    expect([...findings].map(({ code, path }) => `${code} ${path}`)).to.deep.equal(
      [second!, ...rest].map((name) => `torn_tail ${scratch.path(name)}`),
    );
  });

  const errors: [string, string, () => void][] = [
    [
      'a segment that is missing',
      'missing_segment',
      () => {
        rmSync(scratch.path(scratch.files('.store')[1]!));
      },
    ],
    [
      'a log that ends before its mark',
      'missing_tail',
      () => {
        truncateSync(scratch.path(scratch.files('.store').at(-1)!), 10);
      },
    ],
    [
      'a mark that is damaged',
      'mark_unsound',
      () => {
        writeFileSync(scratch.path('high-watermark'), Buffer.alloc(64));
      },
    ],
    [
      'settings that are gone',
      'topic_settings',
      () => {
        rmSync(scratch.path('topic.json'));
      },
    ],
  ];
  for (const [what, code, damage] of errors) {
    it(`finds ${what}, and names the command to run`, async () => {
      damage();
      const report = await verify();
      const error = [...report.findings].find((finding) => finding.code === code);
      expect(error?.severity, codes(report).join()).to.equal('error');
      expect(error?.command).to.equal('fastqueue recover t --dry-run');
    });
  }

  it('finds the end of a sealed segment missing with --quick too', async () => {
    truncateSync(scratch.path(`${FIRST}.store`), 500);
    expect(codes(await verify(true))).to.include('bad_length');
  });

  it('knows no time of an empty log, with --quick neither', async () => {
    const empty = new ScratchTopic();
    try {
      await empty.fill(0, {}, 0);
      for (const quick of [false, true]) {
        const { segments } = await verifyTopic(empty.context(), { quick, onBytes: () => undefined });
        expect(segments.map(({ lastTimestamp }) => lastTimestamp)).to.deep.equal([undefined]);
      }
    } finally {
      empty.remove();
    }
  });

  it('reports what the disk says as itself, and goes on with the next segment', async () => {
    class UnreadableStore extends NodeFileSystem {
      override open(...args: Parameters<NodeFileSystem['open']>): ReturnType<NodeFileSystem['open']> {
        const handle = super.open(...args);
        if (!args[0].endsWith(`${FIRST}.store`)) return handle;
        return Object.assign(handle, {
          read: () => {
            throw new FastQueueError('io_error', 'Could not read: EIO.', { errno: 'EIO', path: args[0] });
          },
        });
      }
    }
    const report = await verifyTopic(scratch.context(new UnreadableStore({ map: false })), {
      quick: false,
      onBytes: () => undefined,
    });
    expect(codes(report)).to.deep.equal(['io_error']);
    expect([...report.lost]).to.deep.equal([]);
  });

  describe('keeps the damage that it has listed', () => {
    let damaged: string;
    let found: VerifyReport;

    beforeEach(async () => {
      damaged = scratch.path(scratch.files('.store')[1]!);
      const bytes = readFileSync(damaged);
      bytes[20] = (bytes[20] as number) ^ 1;
      writeFileSync(damaged, bytes);
      found = await verify();
      expect(codes(found)).to.deep.equal(['bad_checksum']);
      expect([...found.lost]).to.have.lengthOf(1);
    });

    /** What verify says where the disk gives up no byte of a store any more once it was opened so often. */
    async function verifyFailing(
      store: string,
      soundOpens: number,
    ): Promise<VerifyReport & { opens: number }> {
      let opens = 0;
      class FailingStore extends NodeFileSystem {
        override open(...args: Parameters<NodeFileSystem['open']>): ReturnType<NodeFileSystem['open']> {
          const handle = super.open(...args);
          if (args[0] !== store || ++opens <= soundOpens) return handle;
          return Object.assign(handle, {
            read: () => {
              throw new FastQueueError('io_error', 'Could not read: EIO.', { errno: 'EIO', path: store });
            },
          });
        }
      }
      const disk = scratch.context(new FailingStore({ map: false }));
      return { ...(await verifyTopic(disk, { quick: false, onBytes: () => undefined })), opens };
    }

    it('where another store cannot be read, and names that store once', async () => {
      const other = scratch.path(`${FIRST}.store`);
      const report = await verifyFailing(other, 0);
      expect([...report.findings].map(({ code, path }) => [code, path])).to.deep.equal([
        ['io_error', other],
        ['bad_checksum', damaged],
      ]);
      expect([...report.lost]).to.deep.equal([...found.lost]);
      expect(report.nextOffset).to.equal(found.nextOffset);
    });

    it('where its own store cannot be read any more, whenever that begins', async () => {
      const { opens } = await verifyFailing(damaged, Infinity);
      expect(opens).to.be.greaterThan(2);
      // The first reads it; each later one looks again at what was found then.
      for (let sound = 1; sound < opens; sound++) {
        const report = await verifyFailing(damaged, sound);
        expect(codes(report), `after ${sound} of ${opens}`).to.have.members(['io_error', 'bad_checksum']);
        expect([...report.lost]).to.deep.equal([...found.lost]);
      }
    });
  });

  describe('finds all else of a store whose index the disk does not give up', () => {
    /** Where an index is not opened, or its reads fail from so many on. */
    type Refusal = 'open' | number;

    async function verifyRefused(refusal: Refusal, quick = false): Promise<VerifyReport> {
      class NoIndexes extends NodeFileSystem {
        override open(...args: Parameters<NodeFileSystem['open']>): ReturnType<NodeFileSystem['open']> {
          const [path] = args;
          if (!path.endsWith('.index')) return super.open(...args);
          if (refusal === 'open')
            throw new FastQueueError('permission_denied', `Could not open ${path}: EACCES.`, {
              errno: 'EACCES',
              path,
            });
          const handle = super.open(...args);
          const read = handle.read.bind(handle);
          let readCount = 0;
          return Object.assign(handle, {
            read: (target: Uint8Array, position: number) => {
              if (readCount++ < refusal) return read(target, position);
              throw new FastQueueError('io_error', `Could not read ${path}: EIO.`, { errno: 'EIO', path });
            },
          });
        }
      }
      const context = scratch.context(new NoIndexes({ map: false }));
      return verifyTopic(context, { quick, onBytes: () => undefined });
    }

    const withoutDiskErrors = ({ findings }: VerifyReport): Finding[] =>
      [...findings].filter(({ code }) => code !== 'io_error');

    const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
      'a frame that does not check out': (path) => {
        change(path, (bytes) => bytes.fill(0, 20, 21));
      },
      'lost bounds of frames': (path) => {
        change(path, (bytes) => bytes.fill(0xff, 230, 600));
      },
      'bytes that came in before its end': (path) => {
        change(path, (bytes) =>
          Buffer.concat([bytes.subarray(0, 300), Buffer.from('abc'), bytes.subarray(300)]),
        );
      },
      'an end that is gone': (path) => {
        change(path, (bytes) => bytes.subarray(0, -30));
      },
      'no damage': () => undefined,
    };

    const change = (path: string, make: (bytes: Buffer) => Buffer): void => {
      writeFileSync(path, make(readFileSync(path)));
    };

    for (const [what, damage] of Object.entries(DAMAGES))
      for (const isActive of [false, true])
        it(`${what}, in ${isActive ? 'the active' : 'a sealed'} store`, async () => {
          const stores = scratch.files('.store');
          damage(scratch.path(stores.at(isActive ? -1 : 1)!));
          for (const quick of [false, true]) {
            const expected = await verify(quick);
            for (const refusal of ['open', 0, 1] as const) {
              const report = await verifyRefused(refusal, quick);
              const title = `quick: ${String(quick)}, refused: ${refusal}`;
              const found = withoutDiskErrors(report);
              // Where the end of a store is looked for without an index, more of it is read than its end.
              if (quick) expect(found, title).to.deep.include.members([...expected.findings]);
              else expect(found, title).to.deep.equal([...expected.findings]);
              expect(report.segments.length, title).to.equal(expected.segments.length);
              if (!quick) expect(report.segments, title).to.deep.equal(expected.segments);
              expect([...report.lost], title).to.deep.equal([...expected.lost]);
              expect(report.nextOffset, title).to.equal(expected.nextOffset);
              const named = [...report.findings]
                .filter(({ code }) => code === 'io_error')
                .map(({ path }) => path);
              if (quick) expect(named, title).to.include(scratch.path(`${FIRST}.index`));
              else
                expect(named.sort(), title).to.deep.equal(
                  scratch.files('.index').map((name) => scratch.path(name)),
                );
            }
          }
        });

    it('says nothing of the end of an index whose beginning alone could be read but what it holds', async () => {
      change(scratch.path(`${FIRST}.index`), (bytes) => bytes.fill(0, 24, 48));
      expect(codes(await verifyRefused(1)))
        .to.include('index_unsound')
        .and.to.include('io_error');
    });

    it('names no index that is a file and can be read', async () => {
      expect([...(await verifyRefused(Infinity)).findings]).to.deep.equal([]);
    });
  });

  it('names the index, not its store, when the index is what cannot be opened', async () => {
    class NoIndex extends NodeFileSystem {
      override open(...args: Parameters<NodeFileSystem['open']>): ReturnType<NodeFileSystem['open']> {
        if (!args[0].endsWith(`${FIRST}.index`)) return super.open(...args);
        throw new FastQueueError('io_error', 'Could not open: EMFILE.', { errno: 'EMFILE', path: args[0] });
      }
    }
    const { findings } = await verifyTopic(scratch.context(new NoIndex({ map: false })), {
      quick: false,
      onBytes: () => undefined,
    });
    expect([...findings].map(({ code, path }) => [code, path])).to.deep.equal([
      ['io_error', scratch.path(`${FIRST}.index`)],
    ]);
  });

  /** The first index, with the offset of one entry changed by so much, its own checksum right. */
  function writeFirstIndex(change: (entries: Buffer[]) => Buffer[]): void {
    const path = scratch.path(`${FIRST}.index`);
    const bytes = readFileSync(path);
    const entries = Array.from({ length: bytes.length / INDEX_ENTRY_BYTES }, (_, number) =>
      bytes.subarray(number * INDEX_ENTRY_BYTES, (number + 1) * INDEX_ENTRY_BYTES),
    );
    expect(entries.length).to.be.greaterThan(6);
    writeFileSync(path, Buffer.concat(change(entries)));
  }

  it('finds one entry among many that is sound and wrong', async () => {
    writeFirstIndex((entries) => {
      const entry = decodeIndexEntry(entries[5]!, 0)!;
      encodeIndexEntry(entries[5]!, 0, { ...entry, offset: entry.offset + 1 });
      return entries;
    });
    const { findings } = await verify();
    expect([...findings].map(({ code }) => code)).to.deep.equal(['index_contradicts']);
    expect([...findings][0]!.message).to.match(/^1 of \d+ index entries name no frame/);
  });

  it('finds nothing wrong with an index that has fewer entries than the settings say', async () => {
    writeFirstIndex((entries) => entries.filter((_, number) => number % 3 === 0));
    expect(codes(await verify())).to.deep.equal([]);
  });

  it('gives no false alarm beside writers that are killed and restarted, and beside recover', async () => {
    await verifyBesideWriters({ durationMs: 4000, verifications: 6, kills: 5, recoveries: 1 });
  });
});

describe('verify, on several threads', () => {
  let scratch: ScratchTopic;

  before(async () => {
    scratch = new ScratchTopic();
    const topic = await scratch.open({ segmentBytes: 12 * 1024 * 1024 });
    const batch = Array.from({ length: 8 }, (_, number) => Buffer.alloc(512 * 1024 - 16, number));
    for (let bytes = 0; bytes <= PARALLEL_MIN_BYTES; bytes += 4 * 1024 * 1024) await topic.append(batch);
    await topic.close();
    const stores = scratch.files('.store');
    expect(stores.length).to.be.greaterThan(5);
    for (const name of [stores[1]!, stores[4]!]) {
      const file = openSync(scratch.path(name), 'r+');
      writeSync(file, 'damage', 1_000_000);
      closeSync(file);
    }
    rmSync(scratch.path(stores[2]!));
  });

  after(() => {
    scratch.remove();
  });

  async function verifyWith(jobs: number | undefined): Promise<{ report: Written; bytes: number }> {
    let bytes = 0;
    const onBytes = (count: number): void => void (bytes += count);
    const report = await verifyTopic(scratch.context(), { quick: false, onBytes, jobs });
    return { report: { ...report, findings: [...report.findings], lost: [...report.lost] }, bytes };
  }

  type Written = Omit<VerifyReport, 'findings' | 'lost'> & { findings: Finding[]; lost: OffsetRange[] };

  it('says of a damaged log, in order, what one thread says', async () => {
    const one = await verifyWith(undefined);
    expect([...one.report.findings].map(({ code }) => code)).to.deep.equal([
      'bad_checksum',
      'bad_checksum',
      'missing_segment',
    ]);
    for (const jobs of [1, 2, 3, 64]) expect(await verifyWith(jobs), `${jobs} threads`).to.deep.equal(one);
    expect(one.bytes).to.equal(scratch.storeBytes());
  });

  it('plans the same recovery', async () => {
    const plan = async (jobs: number | undefined): Promise<unknown> => {
      const options = { dryRun: true, tryBitFlip: false, lockTimeoutMs: 1000, jobs };
      const { repairs, lost, ...report } = await recoverTopic(scratch.context(), options);
      return { ...report, repairs: [...repairs], lost: [...lost] };
    };
    expect(await plan(2)).to.deep.equal(await plan(undefined));
  });

  it('is what the command does with --jobs, which takes 1 to 64', async () => {
    const sandbox = new Sandbox();
    try {
      const run = (jobs: string): Promise<Outcome> =>
        sandbox.run(['verify', '--json', '-d', scratch.directory, '--jobs', jobs]);
      const [one, two] = [await run('1'), await run('2')];
      expect([one.status, two.status]).to.deep.equal([3, 3]);
      expect(two.stdout.toString()).to.equal(one.stdout.toString());
      for (const wrong of ['0', '65', 'x']) expect((await run(wrong)).status).to.equal(2);
    } finally {
      sandbox.remove();
    }
  });

  it('finds all else of a store whose index another thread cannot read', async () => {
    const before = (await verifyWith(2)).report;
    const path = scratch.path(scratch.files('.index')[3]!);
    rmSync(path);
    mkdirSync(path);
    const { report } = await verifyWith(2);
    const [unreadable, others] = [true, false].map((isThat) =>
      [...report.findings].filter(({ code }) => (code === 'io_error') === isThat),
    );
    expect(unreadable?.map((finding) => finding.path)).to.deep.equal([path]);
    expect(others).to.deep.equal([...before.findings].filter((finding) => finding.path !== path));
    expect(report.segments).to.deep.equal(before.segments);
  });

  it('reports what the disk says to another thread as itself', async () => {
    const path = scratch.path(scratch.files('.store')[3]!);
    rmSync(path);
    mkdirSync(path);
    const { report } = await verifyWith(2);
    expect([...report.findings].map(({ code, path: where }) => `${code} ${where}`)).to.include(
      `io_error ${path}`,
    );
  });
});

describe('the table of verify', () => {
  it('fits a terminal of 100 columns, whatever the offsets are', () => {
    const segment = {
      baseOffset: 9_007_199_154_740_991,
      nextOffset: 9_007_199_254_740_991,
      bytes: 1_073_741_824,
      records: 99_999_999,
      gaps: 12_345,
      firstTimestamp: 1_795_485_600_123,
      lastTimestamp: 1_795_485_600_456,
      isActive: false,
    };
    const rows = (baseOffset: number): string[] => {
      const report = {
        topic: 't',
        startOffset: 0,
        nextOffset: 1,
        segments: [{ ...segment, baseOffset }],
        findings: [],
        lost: [],
      };
      return [...verifyLines(report, { isColoured: false, columns: 100 })].slice(1, 3);
    };
    for (const baseOffset of [0, 1e6, 1e9, 1e12, segment.baseOffset])
      for (const row of rows(baseOffset)) expect(row.length, row).to.be.at.most(100);
    expect(rows(segment.baseOffset)[1]).to.include(`${segment.baseOffset}`).and.to.include('1 GiB');
  });
});

describe('fastqueue verify', () => {
  it('exits 0 for a sound log, 3 for a damaged one and 10 for none, with and without --json', async () => {
    const sandbox = new Sandbox();
    try {
      await sandbox.store('t', [['a', 'b', 'c']]);
      const store = `${sandbox.dataDirectory}/t/${FIRST}.store`;
      for (const json of [[], ['--json']])
        expect((await sandbox.run(['verify', ...json])).status).to.equal(0);
      const bytes = readFileSync(store);
      bytes[33] = bytes[33]! ^ 1;
      writeFileSync(store, bytes);
      const text = await sandbox.run(['verify', 't']);
      expect(text.status).to.equal(3);
      expect(text.stdout.toString()).to.match(
        /error bad_checksum: .*, bytes 17 to before 34\n.*\n +lost: offset 1\n +next: fastqueue recover t --dry-run/,
      );
      const json = await sandbox.run(['verify', 't', '--json']);
      expect(json.status).to.equal(3);
      expect(JSON.parse(json.stdout.toString())).to.include({ type: 'report', lostCount: 1, isSound: false });
      expect((await sandbox.run(['verify', 'none'])).status).to.equal(10);
      expect((await sandbox.run(['verify', 'none', '--json'])).status).to.equal(10);
    } finally {
      sandbox.remove();
    }
  });
});
