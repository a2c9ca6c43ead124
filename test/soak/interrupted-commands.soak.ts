import { interruptCommands } from '../support/interrupted-commands.ts';
import { describeWith } from '../support/root-tests.ts';

describeWith(['strace'], 'recover and recover --undo, ended at every one of their system calls', () => {
  for (const name of ['flipped-bit', 'frame-removed'])
    it(`leave the log of ${name} recoverable, and every byte of it in quarantine`, async () => {
      const { calls, ended } = await interruptCommands(name, 1);
      console.log(`      ${calls} system calls, ${ended} commands ended`);
    });
});
