// What wasm-kernel.ts sees of the module. AssemblyScript; built by scripts/compile-kernel.js.
export { DELIMITER_AT, RESULT_AT, TABLES_AT } from './layout';
export { initialise } from './crc32';
export { emitText } from './emit-text';
export { frameLines, indexFrames, stampFrames } from './make-frames';
export { checkFrames, emitPayloads } from './walk-frames';
