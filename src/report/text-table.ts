import Table from 'cli-table3';

/** Lines only around the table and below its head: rows of figures are easier to compare without. */
const CHARS = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };

/** A table for the terminal; cells of columns that start with a number are aligned right. */
export function textTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const colAligns = head.map((_, column) =>
    column > 0 && rows.some((row) => /^[\d.,]+/.test(String(row[column]))) ? 'right' : 'left',
  );
  const table = new Table({ head: [...head], colAligns, chars: CHARS, style: { head: [], border: [] } });
  table.push(...rows.map((row) => [...row]));
  const [top, titles, ...body] = table.toString().split('\n');
  const below = top.replace('┌', '├').replaceAll('┬', '┼').replace('┐', '┤');
  return [top, titles, below, ...body].join('\n');
}
