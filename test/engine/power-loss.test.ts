/** The disk in memory that other tests cut off from power: what it may leave, and that it leaves each of these. */
import { expect } from 'chai';
import { FastQueueError } from '../../src/engine/errors.ts';
import { ForgetfulFileSystem } from '../support/forgetful-file-system.ts';
import type { Crash } from '../support/power-loss.ts';

const SEEDS = Array.from({ length: 64 }, (_, seed) => seed);
const WITHOUT_ORDER: readonly Crash[] = SEEDS;
const OF_JOURNAL: readonly Crash[] = SEEDS.map((seed): Crash => `journal-${seed}`);
const ANY: readonly Crash[] = ['forgotten', 'latest', 'named', 'zeroed', ...WITHOUT_ORDER, ...OF_JOURNAL];

/** Directories a and b, and a file in a. */
const disk = (): ForgetfulFileSystem =>
  ForgetfulFileSystem.holding(
    new Map([
      ['/a/old', Buffer.from('old')],
      ['/b/other', Buffer.from('other')],
    ]),
  );

const namesOf = (left: ForgetfulFileSystem): string => [...left.files().keys()].sort().join(' ');

/** All that these crashes leave, told by names. */
const outcomes = (of: ForgetfulFileSystem, crashes: readonly Crash[]): string[] =>
  [...new Set(crashes.map((crash) => namesOf(of.afterCrash(crash))))].sort();

const BEFORE = '/a/old /b/other';

describe('ForgetfulFileSystem, cut off from power', () => {
  it('has a file that was moved to another directory in one of them, until both were synced', async () => {
    const moved = disk();
    moved.rename('/a/old', '/b/new');
    expect(outcomes(moved, ANY)).to.deep.equal([BEFORE, '/b/new /b/other']);
    await moved.syncDirectory('/b');
    expect(outcomes(moved, WITHOUT_ORDER)).to.deep.equal([BEFORE, '/b/new /b/other']);
    expect(outcomes(moved, OF_JOURNAL)).to.deep.equal(['/b/new /b/other']);
    await moved.syncDirectory('/a');
    expect(outcomes(moved, ANY)).to.deep.equal(['/b/new /b/other']);
  });

  it('has the one or the other of a file that was renamed over another', () => {
    const replaced = disk();
    replaced.rename('/a/old', '/b/other');
    const contents = new Set(
      ANY.map((crash) =>
        [...replaced.afterCrash(crash).files()].map(([name, bytes]) => `${name} ${String(bytes)}`).join(),
      ),
    );
    expect([...contents].sort()).to.deep.equal(['/a/old old,/b/other other', '/b/other old']);
  });

  it('lets changes of different names come through in any order, or in that of the journal', () => {
    const changed = disk();
    changed.open('/a/new', 'create-new');
    changed.unlink('/b/other');
    expect(outcomes(changed, WITHOUT_ORDER)).to.deep.equal([
      '/a/new /a/old',
      '/a/new /a/old /b/other',
      '/a/old',
      BEFORE,
    ]);
    expect(outcomes(changed, ['latest'])).to.deep.equal(['/a/old']);
    expect(outcomes(changed, OF_JOURNAL)).to.deep.equal(['/a/new /a/old', '/a/new /a/old /b/other', BEFORE]);
  });

  it('puts nothing under a name before what was there has left it', () => {
    const exchanged = disk();
    exchanged.rename('/a/old', '/b/away');
    exchanged.rename('/b/other', '/a/old');
    exchanged.rename('/b/away', '/b/other');
    for (const crash of ANY)
      expect([...exchanged.afterCrash(crash).files().values()].map(String), String(crash)).to.have.members([
        'old',
        'other',
      ]);
  });

  it('takes what was moved out of a directory along with it, where that went first', () => {
    const removed = disk();
    removed.rename('/b/other', '/a/other');
    removed.removeDirectory('/b');
    expect(outcomes(removed, WITHOUT_ORDER)).to.include('/a/old');
    expect(outcomes(removed, OF_JOURNAL)).to.not.include('/a/old');
  });

  it('leaves of bytes that were not synced all, none, some sectors, or zeros', () => {
    const written = disk();
    written.open('/a/old', 'update').write(Buffer.alloc(192, 'x'), 0);
    const lefts = ANY.map((crash) => String(written.afterCrash(crash).files().get('/a/old')));
    const [x, zero] = ['x'.repeat(64), '\0'.repeat(64)];
    expect(lefts).to.include.members([
      'old',
      x + x + x,
      `old${'\0'.repeat(189)}`,
      x + zero + x,
      `old${'\0'.repeat(61)}${x}`,
    ]);
    for (const left of lefts) expect(left).to.match(/^(old|(x{64}|\0{64}|old\0{61}){1,3})$/);
  });

  it('leaves a file that got its name before its bytes were synced without them', async () => {
    const named = disk();
    named.open('/a/new', 'create-new').write(Buffer.from('new'), 0);
    named.rename('/a/new', '/a/old');
    await named.syncDirectory('/a');
    const lefts = new Set(ANY.map((crash) => String(named.afterCrash(crash).files().get('/a/old'))));
    expect([...lefts].sort()).to.deep.equal(['', '\0\0\0', 'new']);
  });

  it('may bring back what was cut off and not synced', () => {
    const cut = disk();
    cut.open('/a/old', 'update').truncate(1);
    const lefts = new Set(ANY.map((crash) => String(cut.afterCrash(crash).files().get('/a/old'))));
    expect([...lefts].sort()).to.deep.equal(['o', 'old']);
  });

  it('makes nothing durable by a sync that failed, nor by the next, but what is written again', async () => {
    const failing = disk();
    const file = failing.open('/a/old', 'update');
    const left = (): string => String(failing.afterCrash('forgotten').files().get('/a/old'));
    file.write(Buffer.from('new'), 0);
    failing.fault = { at: failing.changeCount + 1, type: 'fail' };
    const error: unknown = await file.sync().catch((failure: unknown) => failure);
    expect(error).to.be.instanceOf(FastQueueError);
    await file.sync();
    expect([String(failing.files().get('/a/old')), left()]).to.deep.equal(['new', 'old']);
    file.write(Buffer.from('new'), 0);
    await file.sync();
    expect(left()).to.equal('new');
  });

  it('loses nothing to a kill, and makes nothing durable by it', () => {
    const killed = disk();
    killed.rename('/a/old', '/b/new');
    killed.open('/b/new', 'update').write(Buffer.from('more'), 3);
    const next = killed.afterCrash('killed');
    expect(String(next.files().get('/b/new'))).to.equal('oldmore');
    expect(outcomes(next, ANY)).to.deep.equal([BEFORE, '/b/new /b/other']);
    expect(String(next.afterCrash('named').files().get('/b/new'))).to.equal('old');
  });
});
