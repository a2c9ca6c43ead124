/** What an answer says: its records, its headers of offsets, the problem that it is. */
import { expect } from 'chai';
import { ERROR_TABLE, type ErrorCode } from '../../src/engine/errors.ts';
import type { Answer } from './serving.ts';

export const NDJSON = { accept: 'application/x-ndjson' };
export const OCTETS = { accept: 'application/octet-stream' };

export interface Message {
  readonly offset: number;
  readonly timestamp: number;
  readonly payload?: string;
  readonly payload_base64?: string;
}

export const messagesOf = (answer: Answer): Message[] => answer.json['messages'] as Message[];
export const offsetsOf = (answer: Answer): number[] => messagesOf(answer).map(({ offset }) => offset);

export const offsetHeaders = ({ headers }: Answer): unknown => ({
  next: headers['fastqueue-next-offset'],
  start: headers['fastqueue-start-offset'],
  end: headers['fastqueue-end-offset'],
});

/** The path that the answer's Link names as the next. */
export const nextPath = ({ headers }: Answer): string =>
  /^<([^>]+)>; rel="next"$/.exec(headers.link as string)?.[1] ?? `no next in ${String(headers.link)}`;

/** A problem document of that status, as the table of errors has its code, which says that nothing was stored. */
export function expectProblem(answer: Answer, status: number, code?: ErrorCode): void {
  expect(answer.status, answer.body.toString()).to.equal(status);
  expect(answer.headers['content-type']).to.equal('application/problem+json');
  const given = answer.json['code'] as ErrorCode;
  const { title, retryable, httpStatus } = ERROR_TABLE[given];
  expect([given, httpStatus]).to.deep.equal([code ?? given, status]);
  expect(answer.json).to.include({ status, title, retryable, sideEffects: 'none' });
}
