/** Before a measurement: installs what the project and this package need, where that is missing or older than its list. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const changedAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

for (const folder of ['..', '.']) {
  const directory = fileURLToPath(new URL(folder, import.meta.url));
  const installedAt = changedAt(`${directory}/node_modules/.package-lock.json`);
  if (installedAt < changedAt(`${directory}/package-lock.json`) && !isWhole(directory, installedAt))
    execFileSync('npm', ['ci'], { cwd: directory, stdio: 'inherit' });
}

/** A list that was merely checked out again is newer than what was installed by it, which is all there still. */
function isWhole(directory, installedAt) {
  if (installedAt === 0) return false;
  try {
    execFileSync('npm', ['ls', '--depth=0'], { cwd: directory, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
