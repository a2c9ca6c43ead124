import { interruptCommands } from '../../support/interrupted-commands.ts';
import { describeWith } from '../../support/root-tests.ts';

describeWith(['strace'], 'recover and recover --undo, ended at some of their system calls', () => {
  it('leave a log that is recoverable, and every byte of it in quarantine', async () => {
    const { calls, ended } = await interruptCommands('frame-removed', 6);
    console.log(`        ${calls} system calls, ${ended} commands ended`);
  }).timeout(120_000);
});
