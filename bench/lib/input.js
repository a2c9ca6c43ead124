/** Files of lines to measure with: the same bytes in every run. */
import { closeSync, existsSync, openSync, statSync, writeSync } from 'node:fs';

const TEXT = 'the quick brown fox jumps over the lazy dog 0123456789 ';

/** A file of `totalBytes` in lines of `lineBytes`, newline included, made if it is not there. */
export function linesFile(directory, { lineBytes, totalBytes }) {
  const path = `${directory}/lines-${lineBytes}-${totalBytes}`;
  const count = Math.floor(totalBytes / lineBytes);
  if (existsSync(path) && statSync(path).size === count * lineBytes) return { path, count, lineBytes };
  const filler = TEXT.repeat(Math.ceil(lineBytes / TEXT.length) + 1);
  const file = openSync(path, 'w');
  const perWrite = Math.max(1, Math.floor((1 << 20) / lineBytes));
  for (let number = 0; number < count; number += perWrite) {
    let text = '';
    for (let line = number; line < Math.min(count, number + perWrite); line++) {
      text += `${`${line} `.slice(0, lineBytes - 1)}${filler}`.slice(0, lineBytes - 1) + '\n';
    }
    writeSync(file, text);
  }
  closeSync(file);
  return { path, count, lineBytes };
}
