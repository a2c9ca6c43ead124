/** The room that large bodies share: never more than there is, and nobody waits for ever. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BodyRoom, BodyShare } from '../../src/server/body-room.ts';
import { BODY_STEP_BYTES } from '../../src/server/limits.ts';

const MAX_BODY_BYTES = 4 * BODY_STEP_BYTES;
const TOTAL_BYTES = 2 * MAX_BODY_BYTES;

interface Body {
  readonly byteCount: number;
  readonly share: BodyShare;
  isWaiting: boolean;
}

const heldBy = (bodies: readonly Body[]): number =>
  bodies.reduce((sum, { share }) => sum + share.heldBytes, 0);

describe('BodyRoom', () => {
  let room: BodyRoom;

  beforeEach(() => {
    room = new BodyRoom({ maxBodyBytes: MAX_BODY_BYTES, totalBytes: TOTAL_BYTES });
  });

  const bodyOf = (byteCount: number): Body => ({ byteCount, share: new BodyShare(), isWaiting: false });

  function grow(body: Body): void {
    body.isWaiting = !room.grow(body.share, () => (body.isWaiting = false));
  }

  it('holds no more than there is, and always lets one go on, in whatever order bodies grow and end', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: MAX_BODY_BYTES }), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        (lengths, choices) => {
          const bodies = lengths.map(bodyOf);
          for (let left = bodies; left.length > 0;) {
            const ready = left.filter(({ isWaiting }) => !isWaiting);
            expect(ready, 'bodies that can go on').to.not.be.empty;
            const body = ready[(choices.next().value as number) % ready.length]!;
            if (body.share.heldBytes < body.byteCount) grow(body);
            else {
              room.release(body.share);
              left = left.filter((each) => each !== body);
            }
            expect(heldBy(left)).to.be.at.most(TOTAL_BYTES);
          }
        },
      ),
    );
  });

  it('gives the one that holds most all it may need, whatever the others hold', () => {
    const others = Array.from({ length: 8 }, () => bodyOf(MAX_BODY_BYTES));
    for (const body of [...others, ...others]) if (!body.isWaiting) grow(body);
    expect(heldBy(others)).to.be.at.most(MAX_BODY_BYTES + 2 * BODY_STEP_BYTES);
    const largest = others.find(
      ({ isWaiting, share }) => !isWaiting && share.heldBytes === 2 * BODY_STEP_BYTES,
    )!;
    while (largest.share.heldBytes < MAX_BODY_BYTES) {
      grow(largest);
      expect(largest.isWaiting).to.equal(false);
    }
  });

  it('forgets one that is released while it waits', () => {
    const bodies = Array.from({ length: 8 }, () => bodyOf(MAX_BODY_BYTES));
    for (const body of bodies) grow(body);
    const waiting = bodies.find(({ isWaiting }) => isWaiting)!;
    room.release(waiting.share);
    for (const { share } of bodies) room.release(share);
    expect(waiting.isWaiting).to.equal(true);
    expect(waiting.share.heldBytes).to.equal(0);
  });
});
