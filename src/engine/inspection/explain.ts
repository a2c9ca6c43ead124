/**
 * `--at POS --explain`: what stands at one byte of a store, why it is not a frame, and what it might have been. Reads
 * only.
 */
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  frameChecksumStart,
  MAX_RECORD_BYTES,
  solveFrameOffset,
  type FrameHeader,
} from '../format/frame.ts';
import { payloadChecksum } from '../frame-scanner.ts';
import { StoreInspection, type InspectOptions } from './inspect.ts';
import type { HoleStep, InspectedFrame } from './walk.ts';
import type { FileHandle } from '../io/file-system.ts';
import { NodeFileSystem } from '../io/node-file-system.ts';
import { partsByFlippedBits } from '../recovery/bit-flip.ts';

export interface Explanation {
  readonly path: string;
  readonly position: number;
  /** The first 16 bytes there, or as many as there are. */
  readonly bytes: Buffer;
  /** Those bytes read as a frame's header. */
  readonly header: FrameHeader | undefined;
  /** The good frame or the hole that the byte belongs to. */
  readonly within: {
    readonly type: 'frame' | 'hole' | 'end';
    readonly position: number;
    readonly offset: number;
  };
  /** One sentence each: why it is not a frame, or that it is one, and what it might have been. */
  readonly reasons: readonly string[];
}

/** @throws FastQueueError disk errors as themselves */
export function explainPosition(path: string, position: number, options: InspectOptions): Explanation {
  const inspection = new StoreInspection(path, options);
  const fileSystem = options.fileSystem ?? new NodeFileSystem({ map: false });
  const file = fileSystem.open(path, 'read');
  try {
    const found = stepAt(inspection, position);
    const raw = Buffer.alloc(FRAME_HEADER_BYTES);
    const bytes = raw.subarray(0, file.read(raw, position));
    const header = bytes.length < FRAME_HEADER_BYTES ? undefined : decodeFrameHeader(bytes, 0);
    return {
      path,
      position,
      bytes,
      header,
      within: withinOf(found, inspection),
      reasons: reasonsFor(found, { file, position, bytes, header, options }),
    };
  } finally {
    file.close();
    inspection.close();
  }
}

type Found = { type: 'frame'; frame: InspectedFrame } | { type: 'hole'; hole: HoleStep } | undefined;

function stepAt(inspection: StoreInspection, position: number): Found {
  for (const step of inspection.steps()) {
    if (step.type === 'hole') {
      if (position < step.endPosition) return { type: 'hole', hole: step };
      continue;
    }
    const frame = step.frames.find((each) => position < each.position + each.header.frameBytes);
    if (frame !== undefined) return { type: 'frame', frame };
  }
  return undefined;
}

function withinOf(found: Found, inspection: StoreInspection): Explanation['within'] {
  if (found?.type === 'frame')
    return { type: 'frame', position: found.frame.position, offset: found.frame.offset };
  if (found !== undefined) return { type: 'hole', position: found.hole.position, offset: found.hole.offset };
  const { sizeBytes, nextOffset } = inspection.report();
  return { type: 'end', position: sizeBytes, offset: nextOffset };
}

interface Facts {
  readonly file: FileHandle;
  readonly position: number;
  readonly bytes: Buffer;
  readonly header: FrameHeader | undefined;
  readonly options: InspectOptions;
}

function reasonsFor(found: Found, facts: Facts): string[] {
  const { position, bytes, header } = facts;
  if (found?.type === 'frame') {
    const { frame } = found;
    return frame.position === position
      ? [`This is a good ${frame.kind}, offset ${frame.offset}, ${frame.header.frameBytes} bytes long.`]
      : [
          `This byte is number ${position - frame.position} of the good ${frame.kind} of offset ${frame.offset}, which begins at byte ${frame.position}.`,
        ];
  }
  if (header === undefined)
    return [`Only ${bytes.length} bytes stand here, and a frame has at least ${FRAME_HEADER_BYTES}.`];
  const reasons = headerReasons(header, position, facts.file.status().sizeBytes);
  if (found === undefined) return reasons.length > 0 ? reasons : ['The file ends inside this frame.'];
  const { hole } = found;
  if (reasons.length === 0 && facts.options.checksum === 'crc32')
    reasons.push(...checksumReasons(facts.file, { position, header, bytes, hole }));
  if (reasons.length === 0) reasons.push('Its checksum does not match its payload.');
  const flip = facts.options.checksum === 'crc32' ? flippedBit(facts.file, hole, position) : undefined;
  if (flip !== undefined) reasons.push(flip);
  reasons.push(
    `The damage is bytes ${hole.position} to before ${hole.endPosition}; ` +
      (hole.nextOffset > hole.offset
        ? `it costs offsets ${hole.offset} to before ${hole.nextOffset}.`
        : 'no offset is known to be missing.'),
  );
  return reasons;
}

/** Why the header alone cannot be a frame's. */
function headerReasons(header: FrameHeader, position: number, sizeBytes: number): string[] {
  const reasons: string[] = [];
  if (header.lengthField === 0 && header.timestamp === 0 && header.checksum === 0)
    reasons.push('These bytes are all zero, as blocks that never reached the disk are.');
  if (header.kind === FRAME_KIND.batch || header.kind > FRAME_KIND.control)
    reasons.push(`Kind ${header.kind} is none that this version writes.`);
  if (header.kind === FRAME_KIND.record && header.payloadBytes > MAX_RECORD_BYTES)
    reasons.push(`A record of ${header.payloadBytes} bytes is larger than any may be (${MAX_RECORD_BYTES}).`);
  if (position + header.frameBytes > sizeBytes)
    reasons.push(
      `A frame of ${header.frameBytes} bytes would end at byte ${position + header.frameBytes}, behind the end of the file (${sizeBytes}).`,
    );
  if (!Number.isSafeInteger(header.timestamp)) reasons.push('Its timestamp is none that a clock can show.');
  return reasons;
}

function checksumReasons(
  file: FileHandle,
  facts: { position: number; header: FrameHeader; bytes: Buffer; hole: HoleStep },
): string[] {
  const { position, header, bytes, hole } = facts;
  const payload = { position: position + FRAME_HEADER_BYTES, byteCount: header.payloadBytes };
  const tail = payloadChecksum(file, payload);
  const expected = payloadChecksum(file, {
    ...payload,
    startChecksum: frameChecksumStart(bytes, hole.offset),
  });
  const solved = solveFrameOffset(bytes, {
    payloadChecksum: tail,
    highWord: Math.floor(hole.offset / 2 ** 32),
  });
  if (solved === hole.offset)
    return ['Its checksum is right for the offset that is expected here, but its timestamp goes back.'];
  const hex = (checksum: number): string => checksum.toString(16).padStart(8, '0');
  return [
    `At offset ${hole.offset} its checksum would be ${hex(expected)}, and ${hex(header.checksum)} is stored.`,
    `It would check out at offset ${solved} only: ${
      Math.abs(solved - hole.offset) < NEAR_OFFSETS
        ? 'so near that the frame was probably moved here.'
        : 'so far away that its bytes were changed.'
    }`,
  ];
}

const NEAR_OFFSETS = 1_000_000;

function flippedBit(file: FileHandle, hole: HoleStep, position: number): string | undefined {
  const untimed = { ...hole, timestampBefore: undefined, timestampAfter: undefined };
  const parts = partsByFlippedBits(file, untimed);
  const flip = parts.find((part) => part.position <= position && position < part.endPosition)?.flip;
  if (flip === undefined) return undefined;
  const value = flip.value.toString(16).padStart(2, '0');
  return `With byte ${flip.position} changed to 0x${value}, one bit, it checks out: "fastqueue recover --try-bitflip" does that.`;
}
