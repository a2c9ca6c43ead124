/**
 * What becomes of an answer whose reader is slow, when retention takes records of it, or another topic gets the name: it
 * is cut, or says so, and never looks whole.
 */
import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import type { Socket } from 'node:net';
import { Server, untilClosed } from './serving.ts';

const FORMS = ['application/json', 'application/x-ndjson', 'text/event-stream'] as const;

describe('an answer that is read slowly', () => {
  const { sandbox, server } = Server.forAll();

  /** 15,000 records of a thousand bytes, in segments of a MiB. */
  async function fill(topic: string, letter: string): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ segmentBytes: '1MiB' });
    expect((await server.request('PUT', `/topics/${topic}`, { headers, body })).status).to.equal(201);
    const lines = `${letter.repeat(999)}\n`.repeat(500);
    for (let batch = 0; batch < 30; batch++) await server.publishLines(topic, lines);
  }

  /** Asks for what no socket holds, and reads on only when `meanwhile` has ended. */
  async function readSlowly(topic: string, accept: string, meanwhile: () => Promise<void>): Promise<Buffer> {
    const socket: Socket = await server.connect();
    const query = accept === 'text/event-stream' ? 'offset=0:15000' : 'limit=10000&max_bytes=100MiB';
    socket.write(
      `GET /topics/${topic}/messages?${query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: ${accept}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once('readable', resolve));
    // By then the server waits for the reader.
    await wait(300);
    await meanwhile();
    return untilClosed(socket);
  }

  const isWhole = (bytes: Buffer): boolean => bytes.toString('latin1').endsWith('\r\n0\r\n\r\n');

  const offsetsIn = (bytes: Buffer): number[] =>
    [...bytes.toString('latin1').matchAll(/"offset":(\d+),"timestamp"/g)].map((found) => Number(found[1]));

  it('is whole where nothing is changed', async () => {
    await fill('kept', 'x');
    for (const accept of FORMS) {
      const bytes = await readSlowly('kept', accept, () => Promise.resolve());
      expect(isWhole(bytes), accept).to.equal(true);
      const count = accept === 'text/event-stream' ? 15_000 : 10_000;
      expect(offsetsIn(bytes)).to.deep.equal(Array.from({ length: count }, (_, offset) => offset));
    }
  });

  for (const accept of FORMS) {
    it(`is cut as ${accept}, or tells of the gap, where retention has taken some of it`, async () => {
      const topic = `taken-${FORMS.indexOf(accept)}`;
      await fill(topic, 'x');
      const bytes = await readSlowly(topic, accept, async () => {
        const { status } = await sandbox.run(['compact', topic, '--before', '9000', '--merge-below', '0']);
        expect(status).to.equal(0);
      });
      const offsets = offsetsIn(bytes);
      const isDense = offsets.every((offset, nth) => offset === nth);
      if (accept === 'text/event-stream') {
        expect(isDense).to.equal(false);
        expect(bytes.toString('latin1')).to.include('event: gap');
      } else {
        expect(isWhole(bytes)).to.equal(false);
      }
    });

    it(`is cut as ${accept}, or says why it ends, where another topic has got the name`, async () => {
      const topic = `another-${FORMS.indexOf(accept)}`;
      await fill(topic, 'o');
      const bytes = await readSlowly(topic, accept, async () => {
        expect((await server.request('DELETE', `/topics/${topic}`)).status).to.equal(204);
        await fill(topic, 'n');
      });
      const text = bytes.toString('latin1');
      expect(text).to.include('"payload":"ooo').and.not.include('"payload":"nnn');
      if (accept === 'text/event-stream') expect(text).to.include('event: problem');
      else expect(isWhole(bytes)).to.equal(false);
    });
  }
});
