/** The pieces of an answer: whose memory they stand in, and that others have their turn between them. */
import { expect } from 'chai';
import { EventEmitter } from 'node:events';
import type { Exchange } from '../../src/server/exchange.ts';
import { PieceWriter } from '../../src/server/flow.ts';

/** A client that takes everything at once. */
class EagerResponse extends EventEmitter {
  readonly socket = undefined;

  write(_piece: Buffer | string, taken: () => void): boolean {
    process.nextTick(taken);
    return true;
  }
}

/** So long that Node does not cut it from the memory that small buffers share, and that two of them would have in common. */
const OF_ITS_OWN_BYTES = Buffer.poolSize;

describe('PieceWriter', () => {
  let body: PieceWriter;

  beforeEach(() => {
    const exchange = { isClosed: false, response: new EagerResponse() } as unknown as Exchange;
    body = new PieceWriter(exchange, { stallTimeoutMs: 1000 });
  });

  it('holds the next piece, of several parts, where the one before it was', () => {
    const first = body.hold(Buffer.alloc(10_000, 'a'));
    const second = body.hold(Buffer.from('b'), Buffer.alloc(5000, 'c'));
    expect(second.toString()).to.equal(`b${'c'.repeat(5000)}`);
    expect([second.buffer, second.byteOffset]).to.deep.equal([first.buffer, first.byteOffset]);
  });

  it('keeps no memory of a piece of megabytes, and none at all once it has let go', () => {
    const large = body.hold(Buffer.alloc(2 * 1024 * 1024));
    const kept = body.hold(Buffer.alloc(OF_ITS_OWN_BYTES));
    expect(kept.buffer).to.not.equal(large.buffer);
    body.letGo();
    expect(body.hold(Buffer.alloc(OF_ITS_OWN_BYTES)).buffer).to.not.equal(kept.buffer);
  });

  it('cuts a client that does not take a piece in time, though node takes it into a buffer of its own', () => {
    const timeouts: number[] = [];
    const response = Object.assign(new EventEmitter(), {
      socket: { setTimeout: (durationMs: number) => timeouts.push(durationMs) },
      write: () => true,
    });
    const exchange = { isClosed: false, response } as unknown as Exchange;
    void new PieceWriter(exchange, { stallTimeoutMs: 1000 }).write('small');
    expect(timeouts).to.deep.equal([1000]);
  });

  it('gives others a turn now and then, though its client takes every piece at once', async () => {
    let hadTurn = false;
    setImmediate(() => (hadTurn = true));
    for (let count = 0; count < 10; count++) await body.write('x');
    expect(hadTurn).to.equal(true);
  });
});
