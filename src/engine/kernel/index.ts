/**
 * Kernels and the layout of their memory. A kernel's memory belongs to whoever runs now: the process-wide one is only
 * for synchronous sections, and whoever keeps frames across an `await` makes a kernel of its own.
 */
import { MAX_BATCH_BYTES } from '../limits.ts';
import type { Kernel, Region } from './kernel.ts';
import { WasmKernel } from './wasm-kernel.ts';

const PAGE_BYTES = 65_536;

/** One full batch, and what a read may bring in besides. */
const REGION_BYTES = MAX_BATCH_BYTES + PAGE_BYTES;

/** Index entries of one full batch at the smallest index interval (64 bytes), with room to spare. */
const ENTRIES_BYTES = 14 * 1024 * 1024;

/** Where bytes are read to. */
export const KERNEL_INPUT: Region = { start: 0, end: REGION_BYTES };

/** Where frames or payloads are written from. */
export const KERNEL_OUTPUT: Region = { start: KERNEL_INPUT.end, end: KERNEL_INPUT.end + REGION_BYTES };

/** Where index entries are made. */
export const KERNEL_ENTRIES: Region = { start: KERNEL_OUTPUT.end, end: KERNEL_OUTPUT.end + ENTRIES_BYTES };

/** A kernel with a memory of its own. Untouched pages cost nothing. */
export function createKernel(): Kernel {
  return new WasmKernel(KERNEL_ENTRIES.end);
}

let shared: Kernel | undefined;

/** The kernel of the process. What is in its memory holds until the next `await`, no longer. */
export function sharedKernel(): Kernel {
  shared ??= createKernel();
  return shared;
}
