/**
 * The settings that hold for one run of a command: flag > environment > fastqueue.json > default, each with where it
 * came from. Names, types, bounds and defaults are those of the engine's one table.
 */
import { custom } from '@oclif/core/flags';
import type { OptionFlag } from '@oclif/core/interfaces';
import {
  FastQueueError,
  formatSettingValue,
  parseSetting,
  parseVariable,
  settingNamed,
  SETTINGS,
  type DataDirectory,
  type Setting,
  type SettingName,
} from '../engine/index.ts';
import { FlagValueError } from './usage.ts';

/** A value in force and its source, for `--print-config`. */
export interface SettingInForce {
  readonly name: string;
  /** In bytes or milliseconds. */
  readonly value: number;
  /** As people write it. */
  readonly text: string;
  readonly source: string;
}

/**
 * The flag of a setting, with its summary and its bounds from the table.
 *
 * @param ownDefault what holds in this command instead of the table's default
 */
export function settingFlag(name: SettingName, ownDefault?: number): OptionFlag<number | undefined> {
  const setting = SETTINGS.find((row) => row.name === name) as Setting;
  const flag: unknown = custom<number>({
    parse: (text) => {
      try {
        return Promise.resolve(parseSetting(setting, text));
      } catch (error) {
        if (!(error instanceof FastQueueError)) throw error;
        return Promise.reject(new FlagValueError(`--${setting.flag ?? name}: ${error.message}`));
      }
    },
    summary: `${setting.summary.replace(/^\w+: (\w)/, (_, letter: string) => letter.toUpperCase())} ${defaultPhrase(setting, ownDefault)}`,
    helpValue: setting.type === 'size' ? 'SIZE' : 'DURATION',
  })();
  return flag as OptionFlag<number | undefined>;
}

const defaultPhrase = (setting: Setting, value = setting.default): string =>
  setting.scope === 'topic'
    ? 'Default: as stored in the topic.'
    : `Default: ${formatSettingValue(setting, value)}.`;

/**
 * What is in force for the settings named, given the values of their flags.
 *
 * @param dataDirectory undefined: without fastqueue.json
 * @throws FastQueueError `invalid_argument` for a value in the environment or in fastqueue.json that is wrong
 */
export function resolveCommandSettings<Name extends SettingName>(
  dataDirectory: Pick<DataDirectory, 'commandSettings'> | undefined,
  flags: Readonly<Record<Name, number | undefined>>,
): { values: Record<Name, number>; inForce: SettingInForce[] } {
  const inForce = (Object.keys(flags) as Name[]).map((name) =>
    resolveSetting(dataDirectory, name, flags[name]),
  );
  const values = Object.fromEntries(inForce.map(({ name, value }) => [name, value])) as Record<Name, number>;
  return { values, inForce };
}

/** Settings of topics that flags stand in for: those that were given. */
export function givenSettings(
  flags: Readonly<Partial<Record<SettingName, number | undefined>>>,
): SettingInForce[] {
  return (Object.keys(flags) as SettingName[]).flatMap((name) => {
    const value = flags[name];
    if (value === undefined) return [];
    const setting = settingNamed(name);
    return [{ name, value, text: formatSettingValue(setting, value), source: `--${setting.flag ?? name}` }];
  });
}

function resolveSetting(
  dataDirectory: Pick<DataDirectory, 'commandSettings'> | undefined,
  name: SettingName,
  flag: number | undefined,
): SettingInForce {
  const setting = settingNamed(name, 'command');
  const describe = (value: number, source: string): SettingInForce => ({
    name,
    value,
    text: formatSettingValue(setting, value),
    source,
  });
  if (flag !== undefined) return describe(flag, `--${setting.flag ?? name}`);
  const variable = setting.environmentVariable;
  const environment = process.env[variable];
  if (environment !== undefined && environment !== '')
    return describe(parseVariable(setting, environment), variable);
  const inFile = dataDirectory?.commandSettings()[name];
  if (inFile !== undefined) return describe(inFile, 'fastqueue.json');
  return describe(setting.default, 'default');
}
