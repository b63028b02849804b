import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { badOption, cannotRead, unknownOption } from '../errors.js';
import { nearestWord } from '../nearest.js';
import { type CommandName, OPTIONS, type OptionKind, type OptionSpec, type Options } from '../options.js';

const ROWS = Object.entries(OPTIONS) as [string, OptionSpec][];

/** Gives a commander command the options that the table has for it. */
export function addOptions(command: Command, name: CommandName): Command {
  for (const [key, spec] of ROWS) {
    if (!spec.flags || !spec.commands.includes(name)) continue;
    const option = new Option(spec.flags, spec.help + defaultText(spec));
    if (spec.type.kind === 'list') option.argParser((value: string, before: string[] = []) => [...before, value]);
    if (spec.type.kind !== 'flag' && spec.type.kind !== 'list')
      option.argParser((value: string) => coerce(key, spec.type, value));
    command.addOption(option);
  }
  return command;
}

function defaultText({ type, default: value }: OptionSpec): string {
  return type.kind === 'flag' || value === undefined ? '' : ` (default: ${value})`;
}

/** What commander parsed, joined with the configuration file; the command line wins. */
export function readOptions(parsed: Record<string, unknown>, command: CommandName): Options {
  const given: Record<string, unknown> = {};
  for (const [key, spec] of ROWS) {
    const value = parsed[key];
    if (value === undefined) continue;
    // A --no-… flag that is not given is true in commander; only a given one may win over the configuration.
    if (spec.flags?.startsWith('--no-') && value === true) continue;
    given[key] = value === true && spec.type.kind === 'choice' ? spec.type.bare : value;
  }
  const file = given.config as string | undefined;
  return { ...(file === undefined ? {} : readConfig(file, command)), ...given };
}

function readConfig(file: string, command: CommandName): Options {
  let config: unknown;
  try {
    config = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw cannotRead(file, error);
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw badOption(file, 'must hold one JSON object');
  const { $schema, ...options } = config as Record<string, unknown>;
  return checkOptions(options, command, file);
}

/** Checks keys and values as the table says; the API's options pass through here too. */
export function checkOptions(options: Record<string, unknown>, command: CommandName, source: string): Options {
  for (const [key, value] of Object.entries(options)) {
    const spec = ROWS.find(([name]) => name === key)?.[1];
    if (!spec?.commands.includes(command) || key === 'config')
      throw unknownOption(
        source,
        key,
        nearestWord(
          key,
          ROWS.map(([name]) => name),
        ),
      );
    if (value !== undefined) checkValue(`${source}: ${key}`, spec.type, value);
  }
  return options as Options;
}

function coerce(key: string, type: OptionKind, text: string): string | number {
  const name = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const isNumber = type.kind === 'number' || type.kind === 'integer' || type.kind === 'integer-or-word';
  const value = isNumber && text.trim() !== '' && !Number.isNaN(Number(text)) ? Number(text) : text;
  checkValue(name, type, value);
  return value;
}

function checkValue(name: string, type: OptionKind, value: unknown): void {
  const wanted = problem(type, value);
  if (wanted) throw badOption(name, `must be ${wanted}, not ${JSON.stringify(value)}`);
}

/** What the value should be, where it is not. */
function problem(type: OptionKind, value: unknown): string | undefined {
  switch (type.kind) {
    case 'flag':
      return typeof value === 'boolean' ? undefined : 'true or false';
    case 'number':
      return typeof value === 'number' && isWithin(type, value) ? undefined : `a number${rangeText(type)}`;
    case 'integer':
      return Number.isInteger(value) && isWithin(type, value as number)
        ? undefined
        : `a whole number${rangeText(type)}`;
    case 'integer-or-word':
      return value === type.word || (Number.isInteger(value) && (value as number) >= type.min)
        ? undefined
        : `${type.word} or a whole number from ${type.min}`;
    case 'text':
      return typeof value === 'string' && value !== '' ? undefined : 'a text';
    case 'list':
      return Array.isArray(value) && value.every((item) => typeof item === 'string') ? undefined : 'a list of texts';
    case 'choice':
      return type.choices.includes(value as string) ? undefined : `one of ${type.choices.join(', ')}`;
    case 'object':
      return typeof value === 'object' && value !== null ? undefined : 'an object';
  }
}

interface Limits {
  readonly above?: number;
  readonly min?: number;
  readonly max?: number;
}

function isWithin({ above, min, max }: Limits, value: number): boolean {
  return value > (above ?? -Infinity) && value >= (min ?? -Infinity) && value <= (max ?? Infinity);
}

function rangeText({ above, min, max }: Limits): string {
  const low = above !== undefined ? ` above ${above}` : min !== undefined ? ` from ${min}` : '';
  return low + (max !== undefined ? `${low ? ' and' : ''} at most ${max}` : '');
}
