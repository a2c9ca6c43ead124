/** Documents of records, taken apart in pieces: what JSON.parse makes of the whole is what they are held to. */
import { expect } from 'chai';
import fc from 'fast-check';
import { FRAME_HEADER_BYTES, payloadFromJson } from '../../src/engine/index.ts';
import { KERNEL_OUTPUT, sharedKernel } from '../../src/engine/kernel/index.ts';
import type { PackedSource } from '../../src/engine/record-sources.ts';
import { DOCUMENT_PIECE_BYTES } from '../../src/server/limits.ts';
import { parseRecords } from '../../src/server/records-document.ts';

/** What it is as one object; undefined where it is refused. */
function wholePayloads(body: Buffer): string[] | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    const { records, ...rest } = JSON.parse(text) as { records: unknown[] };
    if (!Array.isArray(records) || Object.keys(rest).length > 0) return undefined;
    return records.map((record) => payloadFromJson(record).toString('latin1'));
  } catch {
    return undefined;
  }
}

function payloadsOf(source: PackedSource): string[] {
  const kernel = sharedKernel();
  source.frameInto(kernel, KERNEL_OUTPUT.start, { firstOffset: 0, timestamp: 0 });
  const payloads: string[] = [];
  const end = KERNEL_OUTPUT.start + source.frameBytes;
  for (let at = KERNEL_OUTPUT.start; at < end;) {
    const start = at + FRAME_HEADER_BYTES;
    at = start + kernel.memory.readUInt32BE(at);
    payloads.push(kernel.memory.toString('latin1', start, at));
  }
  expect(payloads.length).to.equal(source.recordCount);
  return payloads;
}

const piecewisePayloads = (body: Buffer): Promise<string[] | undefined> =>
  parseRecords(body).then(payloadsOf, () => undefined);

async function refusalOf(document: string | Buffer): Promise<string> {
  const error: unknown = await parseRecords(Buffer.from(document as string)).catch(
    (caught: unknown) => caught,
  );
  expect(error).to.have.property('code', 'malformed_input');
  return (error as Error).message;
}

const blanks = fc.stringMatching(/^[ \t\n\r]{0,3}$/);

/** Text with all that a parser of JSON could stumble over, now and then longer than a piece. */
const payloadText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', ',', ':', 'é', '\ufeff', '\u2028', 'a') }),
  fc.integer({ min: 1, max: 2 * DOCUMENT_PIECE_BYTES }).map((length) => 'long, "long", '.repeat(length / 10)),
);

const record = fc.oneof(
  payloadText.map((payload) => JSON.stringify({ payload })),
  // Escaped wherever it may be.
  fc.string({ unit: 'binary-ascii' }).map((text) => {
    const escaped = Array.from(text).map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
    return `{"payload":"${escaped.join('')}","offset":[1,{"a":"]"}]}`;
  }),
  fc.uint8Array().map((bytes) => `{"payload_base64" : "${Buffer.from(bytes).toString('base64')}"}`),
);

const document = fc
  .tuple(fc.array(record, { maxLength: 12 }), fc.array(blanks, { minLength: 8, maxLength: 8 }))
  .map(([records, [a = '', b = '', c = '', d = '', e = '', f = '', g = '', h = '']]) => {
    const name = a === '' ? '"records"' : '"rec\\u006frds"';
    return `${a}{${b}${name}${c}:${d}[${records.map((text) => `${e}${text}${f}`).join(',')}]${g}}${h}`;
  });

describe('parseRecords', () => {
  it('gives the payloads that JSON.parse gives of the whole', async () => {
    await fc.assert(
      fc.asyncProperty(document, async (text) => {
        const body = Buffer.from(text);
        const whole = wholePayloads(body);
        expect(await piecewisePayloads(body)).to.deep.equal(whole);
      }),
      { numRuns: 500 },
    );
  });

  it('takes what JSON.parse takes and no more, wherever a byte is another, missing or there twice', async () => {
    const change = fc.record({
      at: fc.nat(),
      missing: fc.nat({ max: 2 }),
      put: fc.constantFrom('', ...Array.from('[]{},:"\\ 1x\u00e9'), '\ufeff', '""', ',,', '{}', '[],'),
    });
    await fc.assert(
      fc.asyncProperty(document, change, async (text, { at, missing, put }) => {
        const bytes = Buffer.from(text);
        const changed = at % (bytes.length + 1);
        const body = Buffer.concat([
          bytes.subarray(0, changed),
          Buffer.from(put),
          bytes.subarray(changed + missing),
        ]);
        expect(await piecewisePayloads(body)).to.deep.equal(wholePayloads(body));
      }),
      { numRuns: 3000 },
    );
  });

  it('refuses at the place between two pieces what it refuses elsewhere', async () => {
    const long = JSON.stringify({ payload: 'x'.repeat(DOCUMENT_PIECE_BYTES) });
    for (const between of [',,', ', ,', ',]', ',\ufeff', '', '],[', '}']) {
      const body = Buffer.from(`{"records":[${long}${between}${long}]}`);
      expect(await piecewisePayloads(body), between).to.equal(undefined);
    }
    for (const end of [',]}', ']', ']}}', ']},', '}}', ']}x', '']) {
      const body = Buffer.from(`{"records":[${long}${end}`);
      expect(await piecewisePayloads(body), end).to.equal(undefined);
    }
  });

  it('refuses a second list of records rather than lose the first', async () => {
    const other =
      'The body has the member "records" beside "records", which would be lost. Nothing was written.';
    for (const twice of [
      '{"records":[{"payload":"a"}],"records":[]}',
      '{"records":1,"records":[{"payload":"a"}]}',
    ])
      expect(await refusalOf(twice)).to.equal(other);
  });

  it('says what is wrong, and with which record', async () => {
    const long = JSON.stringify({ payload: 'x'.repeat(DOCUMENT_PIECE_BYTES) });
    for (const [text, says] of [
      ['{"records":[', 'The body is not JSON.'],
      ['nonsense', 'The body is not JSON.'],
      ['[]', 'The body is not an object with an array "records", and nothing else.'],
      [
        `${' '.repeat(70_000)}{"records":[]}`,
        'The body is not an object with an array "records", and nothing else.',
      ],
      [`{"records":[${long},${long},1]}`, 'Record 3 is not an object.'],
      [`{"records":[${long},{"payload":"x"},{"payload":"x","k":1}]}`, 'Record 3 has the member "k", which'],
      [`{"records":[${long},${'['.repeat(20)}`, 'Record 2 has more members, or more levels of them,'],
      [
        `{"records":[${long},{${'"offset":1,'.repeat(200)}"payload":"x"}]}`,
        'Record 2 has more members, or more',
      ],
      ['{"records":[],"x":1}', 'The body has the member "x" beside "records"'],
      ['{"x":{"y":2},"records":[]}', 'The body has the member "x" beside "records"'],
      [`{"records":[]${' '.repeat(70_000)}}`, 'The body goes on for long behind its records.'],
    ] as const)
      expect((await refusalOf(text)).slice(0, says.length), text.slice(0, 60)).to.equal(says);
  });

  it('lets others run between two pieces', async () => {
    const count = 20;
    const record = JSON.stringify({ payload: 'x'.repeat(DOCUMENT_PIECE_BYTES) });
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      ticking = setImmediate(turn);
    };
    let ticking = setImmediate(turn);
    const source = await parseRecords(Buffer.from(`{"records":[${Array(count).fill(record).join(',')}]}`));
    clearImmediate(ticking);
    expect(source.recordCount).to.equal(count);
    expect(turns).to.be.at.least(count - 1);
  });
});
