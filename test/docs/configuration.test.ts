import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { formatSettingValue, SETTINGS, type Setting } from '../../src/engine/settings.ts';

const page = readFileSync(new URL('../../docs/CONFIGURATION.md', import.meta.url), 'utf8').replace(
  / +\|/g,
  ' |',
);

function rowOf(setting: Setting): string {
  const bound = (value: number): string => formatSettingValue({ ...setting, mayBeOff: false }, value);
  const cells = [
    `\`${setting.name}\``,
    setting.scope,
    setting.type,
    formatSettingValue(setting, setting.default),
    bound(setting.min),
    bound(setting.max),
    setting.mayBeOff ? 'yes' : 'no',
    `\`${setting.environmentVariable}\``,
    setting.flag === undefined ? '' : `\`--${setting.flag}\``,
    setting.summary,
  ];
  return `| ${cells.join(' | ')} |`.replace(/ +\|/g, ' |');
}

describe('docs/CONFIGURATION.md', () => {
  it('has a row for every setting, as the table in the code has it, and for no other', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('| `'));
    expect(rows).to.deep.equal(SETTINGS.map(rowOf));
  });
});
