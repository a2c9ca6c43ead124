// Where things stand in the kernel's memory beyond the regions that callers use (kernel/index.ts). AssemblyScript.
//
// The regions begin at 0; the tables follow the last of them, so that a load from a table is one instruction with a
// constant displacement. wasm-kernel.ts compares these numbers with its own when it loads the module.

/** End of the regions that callers use. */
export const TABLES_AT: u32 = 81_920_000;

/** Sixteen tables of 256 words: table k has what a byte does to the register that is followed by k zero bytes. */
export const TABLE_BYTES: u32 = 1024;
const TABLE_COUNT: u32 = 16;

/** What a call leaves for its caller: three u32, then a f64 at RESULT_TIMESTAMP_AT. */
export const RESULT_AT: u32 = TABLES_AT + TABLE_COUNT * TABLE_BYTES;
export const RESULT_TIMESTAMP_AT: u32 = RESULT_AT + 16;

/** Decimal digits of an offset and of a timestamp end here. */
export const OFFSET_DIGITS_END: u32 = RESULT_AT + 64;
export const TIME_DIGITS_END: u32 = RESULT_AT + 112;

/** The delimiter of the call, or pieces of text, written by the caller. */
export const DELIMITER_AT: u32 = RESULT_AT + 128;

// A frame (format/frame.ts): where its parts stand, and where its payload begins.
export const TIMESTAMP_AT: u32 = 4;
export const CHECKSUM_AT: u32 = 12;
export const HEADER_BYTES: u32 = 16;
