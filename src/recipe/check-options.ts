import { badOption, unknownOption } from '../errors.js';
import { nearestWord } from '../nearest.js';
import { type CommandName, OPTIONS, type OptionKind, type OptionSpec, type Options } from '../options.js';
import { checkSchema } from './check-schema.js';

const ROWS = Object.entries(OPTIONS) as [string, OptionSpec][];

/**
 * Checks names and values of options as the table says; configuration files and the library's callers pass here.
 * @throws CompressError that names the option and the nearest known one
 */
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

/** @throws CompressError that says what the value must be */
export function checkValue(name: string, type: OptionKind, value: unknown): void {
  if (type.kind === 'object') {
    checkSchema(name, type.schema, value);
    return;
  }
  const wanted = problem(type, value);
  if (wanted) throw badOption(name, `must be ${wanted}, not ${JSON.stringify(value)}`);
}

/** What the value should be, where it is not. */
function problem(type: Exclude<OptionKind, { kind: 'object' }>, value: unknown): string | undefined {
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
