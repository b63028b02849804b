/** Comma-separated tables with a header line. */
import { parse } from 'csv-parse/sync';
import { badDataFile, messageOf } from '../errors.js';
import { readLimited } from './limited-read.js';

const LARGEST_FILE = 2 ** 26;

/**
 * The rows of a table, each by column name.
 * @throws CompressError where the file is no table, or lacks one of the `required` columns
 */
export async function readCsv(file: string, required: readonly string[]): Promise<Record<string, string>[]> {
  const text = await readLimited(file, LARGEST_FILE, 'keep only the rows and columns that are needed');
  let header: string[] = [];
  let rows: Record<string, string>[];
  try {
    rows = parse(text, {
      bom: true,
      trim: true,
      skip_empty_lines: true,
      columns: (names: string[]) => {
        header = names;
        return names;
      },
    });
  } catch (error) {
    throw badDataFile(file, `is not a comma-separated table: ${messageOf(error)}`);
  }
  const missing = required.filter((column) => !header.includes(column));
  if (missing.length > 0) {
    throw badDataFile(
      file,
      `has no column ${missing.join(', ')} (its columns: ${header.slice(0, 10).join(', ') || 'none'}); its first line must name them`,
    );
  }
  return rows;
}
