import { badOption, unknownOption } from '../errors.js';
import { nearestWord } from '../nearest.js';
import type { ValueSchema } from '../options.js';

type Of<T extends string> = Extract<ValueSchema, { type: T }>;

/**
 * Checks a value of the configuration against its JSON Schema. A key that is undefined counts as absent.
 * @param name the value's place in error messages
 * @throws CompressError that names the innermost value that is wrong, or the nearest known key
 */
export function checkSchema(name: string, schema: ValueSchema, value: unknown): void {
  if ('enum' in schema) {
    if (!schema.enum.includes(value as string)) refuse(name, `one of ${schema.enum.join(', ')}`, value);
    return;
  }
  switch (schema.type) {
    case 'string':
      if (typeof value !== 'string') refuse(name, 'a text', value);
      return;
    case 'array':
      checkArray(name, schema, value);
      return;
    case 'object':
      checkObject(name, schema, value);
      return;
    default:
      checkNumber(name, schema, value);
  }
}

function checkNumber(
  name: string,
  { type, minimum, exclusiveMinimum }: Of<'number' | 'integer'>,
  value: unknown,
): void {
  const isKind = type === 'integer' ? Number.isInteger(value) : Number.isFinite(value);
  const isWithin = (value as number) >= (minimum ?? -Infinity) && (value as number) > (exclusiveMinimum ?? -Infinity);
  if (isKind && isWithin) return;
  const range =
    exclusiveMinimum !== undefined ? ` above ${exclusiveMinimum}` : minimum !== undefined ? ` from ${minimum}` : '';
  refuse(name, `a ${type === 'integer' ? 'whole ' : ''}number${range}`, value);
}

function checkArray(name: string, { items, minItems = 0, maxItems = Infinity }: Of<'array'>, value: unknown): void {
  if (!Array.isArray(value) || value.length < minItems || value.length > maxItems) {
    const count = minItems === maxItems ? `${minItems} ` : minItems > 0 ? `${minItems} to ${maxItems} ` : '';
    refuse(name, `a list of ${count}values`, value);
  } else for (const [i, item] of value.entries()) checkSchema(`${name}[${i}]`, items, item);
}

function checkObject(name: string, { properties = {}, additionalProperties }: Of<'object'>, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(name, 'an object', value);
  for (const [key, item] of Object.entries(value as object)) {
    const schema = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (!schema) throw unknownOption(name, key, nearestWord(key, Object.keys(properties)));
    if (item !== undefined) checkSchema(`${name}.${key}`, schema, item);
  }
}

function refuse(name: string, wanted: string, value: unknown): never {
  throw badOption(name, `must be ${wanted}, not ${JSON.stringify(value)}`);
}
