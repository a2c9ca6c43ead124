import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { ERROR_TABLE } from '../../src/engine/errors.ts';

const page = readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8').replace(/ +\|/g, ' |');

const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (\d+) \| (yes|no) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, code, exitCode, httpStatus, retry, title, advice]) => ({
    code,
    exitCode: Number(exitCode),
    httpStatus: Number(httpStatus),
    retryable: retry === 'yes',
    title,
    advice: advice!,
  }),
);

describe('docs/ERRORS.md', () => {
  it('says of every code what the table in the code says, in its order, and of no other', () => {
    const documented = rows.map(({ code, exitCode, httpStatus, retryable, title }) => ({
      code,
      exitCode,
      httpStatus,
      retryable,
      title,
    }));
    const actual = Object.entries(ERROR_TABLE).map(([code, entry]) => ({ code, ...entry }));
    expect(documented).to.deep.equal(actual);
  });

  it('says of every code what to do', () => {
    for (const { code, advice } of rows) expect(advice.length, code).to.be.greaterThan(10);
  });
});
