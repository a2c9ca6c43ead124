/** What checking can cost at the least: zlib.crc32 over a file, a MiB at a time. node checksum.js FILE */
import { openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';

const file = openSync(process.argv[2]);
const chunk = Buffer.allocUnsafeSlow(1 << 20);
let checksum = 0;
for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
  checksum = crc32(chunk.subarray(0, count), checksum);
}
console.log(checksum);
