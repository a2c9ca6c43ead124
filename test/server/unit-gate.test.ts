/** The comparison of tokens, in this process: what decides, and over what. */
import { expect } from 'chai';
import crypto from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { FastQueueError } from '../../src/engine/errors.ts';
import { Gate } from '../../src/server/gate.ts';

describe('Gate.checkToken', () => {
  const original = crypto.timingSafeEqual;
  let compared: { left: Buffer; right: Buffer }[];
  let verdict: boolean | undefined;

  beforeEach(() => {
    compared = [];
    verdict = undefined;
    crypto.timingSafeEqual = (left, right) => {
      compared.push({ left: left as Buffer, right: right as Buffer });
      return verdict ?? original(left, right);
    };
    syncBuiltinESMExports();
  });

  afterEach(() => {
    crypto.timingSafeEqual = original;
    syncBuiltinESMExports();
  });

  /** The code that it is refused with, or undefined. */
  function codeFor(token: string): string | undefined {
    const options = { boundNames: [], isLoopback: true, allowedOrigins: [], token: 'correct-horse' };
    const headers = { authorization: `Bearer ${token}` };
    try {
      new Gate(options).checkToken({ headers } as unknown as IncomingMessage);
      return undefined;
    } catch (error) {
      return (error as FastQueueError).code;
    }
  }

  const tokens = ['correct-horse', 'correct-horsf', 'x', 'correct-horse2', 'x'.repeat(4000)];

  it('compares digests of one length in constant time, once, whatever token comes', () => {
    for (const token of tokens) codeFor(token);
    expect(compared).to.have.length(tokens.length);
    const digest = (text: string): Buffer => crypto.createHash('sha256').update(text).digest();
    compared.forEach(({ left, right }, at) => {
      expect([left, right]).to.deep.equal([digest(tokens[at]!), digest('correct-horse')]);
    });
  });

  it('lets that comparison decide, and nothing else', () => {
    verdict = true;
    expect(tokens.map(codeFor)).to.deep.equal(tokens.map(() => undefined));
    verdict = false;
    expect(tokens.map(codeFor)).to.deep.equal(tokens.map(() => 'unauthorized'));
  });
});
