import type { LoweringRules } from '../../src/exporters/lowering/rule.js';
import { RULES } from '../../src/exporters/lowering/rules.js';
import type { Target } from '../../src/exporters/lowering/target.js';
import { OLDEST_WRITTEN, ROWS } from '../../src/exporters/onnx/write/index.js';
import { TFJS } from '../../src/exporters/tfjs/target.js';
import { TFLITE } from '../../src/exporters/tflite/target.js';
import { operators } from '../../src/ops/index.js';

/** What each format can say of each operator, as a page of Markdown made from the tables that decide it. */
export function supportMatrix(): string {
  const rows = [...operators.keys()]
    .sort()
    .map((op) => [
      `\`${op}\``,
      'yes',
      onnxCell(op),
      channelsLastCell(RULES, op, TFLITE),
      channelsLastCell(RULES, op, TFJS),
    ]);
  const mostAxes = Math.min(TFLITE.mostAxes, TFJS.mostAxes);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    '# Operators',
    '',
    'Made from the tables of operators by `UPDATE_OPERATORS=1 npx vitest run --project unit test/unit/support-matrix.test.ts`; a test fails when it is stale.',
    '',
    `Shapes must be fixed for TFLite and TensorFlow.js (\`--input-shape\`), values have at most ${mostAxes} axes there, and functions such as \`Relu\` and \`Exp\` are of floating-point numbers. What cannot be said is refused by the name of the node. Operators that are not listed are carried through from ONNX to ONNX, and refused by the other formats.`,
    '',
    line(['operator', 'ONNX in', 'ONNX out', 'TFLite out', 'tfjs out']),
    line(['---', '---', '---', '---', '---']),
    ...rows.map(line),
    '',
  ].join('\n');
}

function onnxCell(op: string): string {
  const row = ROWS[op];
  if (!row) return 'no';
  const attributes = Object.entries(row.attributes ?? {}).map(
    ([name, since]) => `\`${name}\` from operator set ${since}`,
  );
  const isNewer = row.since > OLDEST_WRITTEN;
  const composed = isNewer ? [`${row.before ? 'composed' : 'not'} before operator set ${row.since}`] : [];
  const limits = [...composed, ...attributes];
  return limits.length ? `yes: ${limits.join('; ')}` : 'yes';
}

function channelsLastCell(rules: LoweringRules, op: string, target: Target): string {
  const rule = rules[op];
  if (!rule) return 'no';
  if ('refused' in rule) return `no: ${rule.refused}`;
  const lacks = (rule.needs ?? [])
    .filter(({ kind }) => target.missing.has(kind))
    .map(({ what }) => `, but not ${what}`);
  return `yes${lacks.join('')}${rule.limits ? `: ${rule.limits}` : ''}`;
}
