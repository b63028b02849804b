import { existsSync, readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { badOption, cannotRead } from '../errors.js';
import { type CommandName, OPTIONS, type OptionKind, type OptionSpec, type Options } from '../options.js';
import { checkOptions, checkValue } from '../recipe/check-options.js';

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

/**
 * Commander takes any word after an option that may stand bare for its value: in `--separable model.onnx` that would be
 * the model. A word that is no choice but names a file gives the option its bare meaning.
 */
export function fillBareChoices(argv: readonly string[]): string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  return argv.map((word, i) => {
    const type = i < end ? bareChoices.get(word) : undefined;
    const next = argv[i + 1];
    if (!type || next === undefined || type.choices.includes(next)) return word;
    return /[./\\]/.test(next) || existsSync(next) ? `${word}=${type.bare}` : word;
  });
}

/** The options that may stand bare, by their long flag. */
const bareChoices = new Map(
  ROWS.flatMap(([, { type, flags }]) =>
    type.kind === 'choice' && type.bare !== undefined && flags ? [[flags.split(' ')[0], type] as const] : [],
  ),
);

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
  const { config, ...rest } = given;
  return { ...(config === undefined ? {} : readConfig(config as string, command)), ...rest };
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

function coerce(key: string, type: OptionKind, text: string): string | number {
  const name = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const isNumber = type.kind === 'number' || type.kind === 'integer' || type.kind === 'integer-or-word';
  const value = isNumber && text.trim() !== '' && !Number.isNaN(Number(text)) ? Number(text) : text;
  checkValue(name, type, value);
  return value;
}
