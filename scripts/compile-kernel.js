/**
 * Compiles the kernel's AssemblyScript. The module travels as text in src/engine/kernel/kernel-binary.ts, so that
 * nothing has to be found and read at run time: not in a bundle, not in a worker, not under a test runner. The file is
 * committed, and a test holds it to its source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const ENTRY = 'src/engine/kernel/assembly/kernel.ts';
const TARGET = new URL('../src/engine/kernel/kernel-binary.ts', import.meta.url);

/** What kernel-binary.ts must be. */
export async function kernelBinarySource() {
  const outputs = new Map();
  const { error, stderr } = await asc.main(
    [
      ENTRY,
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd',
      '--importMemory',
      '--outFile',
      'kernel.wasm',
    ],
    {
      baseDir: fileURLToPath(new URL('..', import.meta.url)),
      writeFile: (name, contents) => void outputs.set(name, contents),
    },
  );
  if (error !== null) throw new Error(`The kernel does not compile.\n${stderr}`, { cause: error });
  return [
    '/** The compiled kernel, made by scripts/compile-kernel.js from assembly/: never edited by hand. */',
    `export const KERNEL_BINARY =\n  '${Buffer.from(outputs.get('kernel.wasm')).toString('base64')}';`,
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const source = await kernelBinarySource();
  if (source !== readIfThere()) writeFileSync(TARGET, source);
}

function readIfThere() {
  try {
    return readFileSync(TARGET, 'utf8');
  } catch {
    return undefined;
  }
}
