/**
 * One table of options: the parser, the help texts, the schema of the configuration file and the API's types come from
 * it. Rows are in the order of the help text.
 */

export type CommandName = 'compress' | 'inspect' | 'convert' | 'validate' | 'bench' | 'demo';

export type OptionKind =
  | { readonly kind: 'flag' }
  | { readonly kind: 'number'; readonly above?: number; readonly min?: number; readonly max?: number }
  | { readonly kind: 'integer'; readonly min?: number; readonly max?: number }
  /** A whole number or the word. */
  | { readonly kind: 'integer-or-word'; readonly word: string; readonly min: number }
  | { readonly kind: 'text' }
  | { readonly kind: 'list' }
  /** `bare` is what the option means without a value. */
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly bare?: string }
  /** Only in the configuration file; `schema` is its JSON Schema. */
  | { readonly kind: 'object'; readonly schema: ValueSchema };

/** The part of JSON Schema that the table needs. */
export type ValueSchema =
  | { readonly enum: readonly string[] }
  | { readonly type: 'string' }
  | { readonly type: 'number' | 'integer'; readonly minimum?: number; readonly exclusiveMinimum?: number }
  | { readonly type: 'array'; readonly items: ValueSchema; readonly minItems?: number; readonly maxItems?: number }
  | {
      readonly type: 'object';
      readonly properties?: Readonly<Record<string, ValueSchema>>;
      /** What other keys hold; false: there are none. */
      readonly additionalProperties: ValueSchema | false;
    };

export interface OptionSpec {
  readonly type: OptionKind;
  /** As commander writes them; absent for what only the configuration file holds. */
  readonly flags?: string;
  readonly help: string;
  readonly default?: string | number | boolean;
  readonly commands: readonly CommandName[];
}

const ALL: readonly CommandName[] = ['compress', 'inspect', 'convert', 'validate', 'bench', 'demo'];
const MAKERS: readonly CommandName[] = ['compress', 'convert'];
const JUDGES: readonly CommandName[] = ['compress', 'validate'];
const RUNNERS: readonly CommandName[] = ['compress', 'validate', 'bench'];

const numbers = { type: 'array', items: { type: 'number' } } as const;

export const OPTIONS = {
  out: {
    type: { kind: 'text' },
    flags: '-o, --out <folder>',
    help: 'folder for everything that is written',
    default: 'compressed',
    commands: ['compress', 'convert', 'validate', 'demo'],
  },
  format: {
    type: { kind: 'list' },
    flags: '--format <formats>',
    help: 'formats to write, separated by commas: onnx, tflite, tfjs (default: onnx)',
    commands: MAKERS,
  },
  bake: {
    type: { kind: 'list' },
    flags: '--bake <parts>',
    help: 'put into the model what surrounds it: pre (takes an 8-bit image), post (answers with class numbers)',
    commands: ['compress'],
  },
  layout: {
    type: { kind: 'choice', choices: ['nhwc', 'nchw'] },
    flags: '--layout <layout>',
    help: 'where channels stand in the inputs and outputs of TFLite and tfjs artefacts',
    default: 'nhwc',
    commands: MAKERS,
  },
  thin: {
    type: { kind: 'number', above: 0, max: 1 },
    flags: '--thin <keep>',
    help: 'keep this fraction of the channels of every free class',
    commands: ['compress'],
  },
  thinShape: {
    type: { kind: 'choice', choices: ['proportional', 'flat'] },
    flags: '--thin-shape <shape>',
    help: 'proportional: the same fraction everywhere; flat: one width for all spatial convolutions',
    default: 'proportional',
    commands: ['compress'],
  },
  width: {
    type: { kind: 'integer', min: 1 },
    flags: '--width <n>',
    help: 'channels of every class with --thin-shape flat (default: what costs as much as proportional)',
    commands: ['compress'],
  },
  round: {
    type: { kind: 'integer', min: 1 },
    flags: '--round <m>',
    help: 'widths go up to a multiple of m, never above the original',
    default: 1,
    commands: ['compress'],
  },
  keepLayer: {
    type: { kind: 'list' },
    flags: '--keep-layer <glob=keep>',
    help: 'another fraction for the layers that the glob matches; 1 also leaves them unfactorized (repeatable)',
    commands: ['compress'],
  },
  exclude: {
    type: { kind: 'list' },
    flags: '--exclude <glob>',
    help: 'neither thin nor factorize the layers that the glob matches (repeatable)',
    commands: ['compress'],
  },
  separable: {
    type: { kind: 'choice', choices: ['depthwise', 'spatial', 'auto'], bare: 'depthwise' },
    flags: '--separable [form]',
    help: 'factorize convolutions: depthwise (when bare), spatial, or auto, whichever has the fewest MACs',
    commands: ['compress'],
  },
  rank: {
    type: { kind: 'integer-or-word', word: 'auto', min: 1 },
    flags: '--rank <n>',
    help: 'rank of the factors: a number (1 by default), or auto with --max-error',
    commands: ['compress'],
  },
  maxError: {
    type: { kind: 'number', min: 0, max: 1 },
    flags: '--max-error <e>',
    help: 'largest relative error of a factorized kernel; the rank follows (implies --rank auto)',
    commands: ['compress'],
  },
  student: {
    type: { kind: 'choice', choices: ['paper-flat32', 'paper-flat32-separable'] },
    flags: '--student <preset>',
    help: 'a new network instead of a smaller original: six levels, 32 channels throughout (needs --distill)',
    commands: ['compress'],
  },
  align: {
    type: { kind: 'integer', min: 1 },
    flags: '--align <m>',
    help: 'widen inner channels with zeros to a multiple of m, exactly; 16 is fastest in ONNX Runtime on AVX-512',
    default: 1,
    commands: ['compress'],
  },
  foldBn: {
    type: { kind: 'flag' },
    flags: '--no-fold-bn',
    help: 'leave BatchNormalizations as they are',
    default: true,
    commands: ['compress'],
  },
  distill: {
    type: { kind: 'flag' },
    flags: '--distill',
    help: 'train the smaller network to do what the original does (needs --data; masks are used where there are any)',
    commands: ['compress'],
  },
  distillSteps: {
    type: { kind: 'integer', min: 1 },
    flags: '--distill-steps <n>',
    help: 'steps of training (default: 4000)',
    commands: ['compress'],
  },
  distillMinutes: {
    type: { kind: 'number', above: 0 },
    flags: '--distill-minutes <m>',
    help: "as many steps as fit into this time, the original's answers included",
    commands: ['compress'],
  },
  batch: {
    type: { kind: 'integer', min: 1 },
    flags: '--batch <n>',
    help: 'images of a training step (default: 8)',
    commands: ['compress'],
  },
  lr: {
    type: { kind: 'number', above: 0, max: 1 },
    flags: '--lr <rate>',
    help: 'peak learning rate (default: by the number of parameters, 0.002 for 100,000)',
    commands: ['compress'],
  },
  augment: {
    type: { kind: 'flag' },
    flags: '--no-augment',
    help: 'train on the images as they are, without mirroring, turning, scaling and varied brightness',
    default: true,
    commands: ['compress'],
  },
  featureWeight: {
    type: { kind: 'number', min: 0 },
    flags: '--feature-weight <w>',
    help: "weight of the loss that compares feature maps with the original's (default: 0.5, paper 10; 0: none)",
    commands: ['compress'],
  },
  featureLoss: {
    type: { kind: 'choice', choices: ['adapted', 'paper'] },
    flags: '--feature-loss <loss>',
    help: 'adapted: through trained adapters, relative squares; paper: absolute differences of maps of equal width',
    default: 'adapted',
    commands: ['compress'],
  },
  start: {
    type: { kind: 'choice', choices: ['fitted', 'random'] },
    flags: '--start <weights>',
    help: 'weights that training starts from: fitted to the original (default), or random (default for flat shapes)',
    commands: ['compress'],
  },
  resume: {
    type: { kind: 'flag' },
    flags: '--resume',
    help: 'go on from the last checkpoint of an interrupted --distill with the same options (in <out>/distill)',
    commands: ['compress'],
  },
  cacheSize: {
    type: { kind: 'number', min: 0 },
    flags: '--cache-size <MB>',
    help: "disk space for the original's answers to the images, which stay in <out>/distill for the next run",
    default: 4096,
    commands: ['compress'],
  },
  fp16: {
    type: { kind: 'flag' },
    flags: '--fp16',
    help: 'store weights in half precision (computed in single)',
    commands: MAKERS,
  },
  externalData: {
    type: { kind: 'flag' },
    flags: '--external-data',
    help: 'put the weights into a file beside the ONNX model (always above 2 GB)',
    commands: MAKERS,
  },
  dryRun: {
    type: { kind: 'flag' },
    flags: '--dry-run',
    help: 'print the exact table of widths, parameters, MACs and bytes; write nothing',
    commands: ['compress'],
  },
  data: {
    type: { kind: 'text' },
    flags: '--data <folder>',
    help: 'images, or images/ and masks/; a tenth of the groups is held out as validation',
    commands: JUDGES,
  },
  valData: {
    type: { kind: 'text' },
    flags: '--val-data <folder>',
    help: 'validation images, instead of a part of --data',
    commands: ['compress'],
  },
  testData: {
    type: { kind: 'text' },
    flags: '--test-data <folder>',
    help: 'test images, read once at the end; only they can show equivalence',
    commands: ['compress'],
  },
  groups: {
    type: { kind: 'text' },
    flags: '--groups <csv>',
    help: 'table (file, group) of images that belong together, of --data or else --test-data; default: manifest.csv there',
    commands: JUDGES,
  },
  margin: {
    type: { kind: 'number', above: 0, max: 1 },
    flags: '--margin <m>',
    help: 'largest change of mean Dice that counts as equal',
    default: 0.01,
    commands: JUDGES,
  },
  failIfNotEquivalent: {
    type: { kind: 'flag' },
    flags: '--fail-if-not-equivalent',
    help: 'exit with 2 unless equivalence is shown on test images',
    commands: JUDGES,
  },
  inputShape: {
    type: { kind: 'list' },
    flags: '--input-shape <shape>',
    help: 'shape for open dimensions: name=1,1,256,256, or 1,1,256,256 for a single input (repeatable)',
    commands: ['compress', 'convert', 'inspect', 'validate', 'bench'],
  },
  latency: {
    type: { kind: 'choice', choices: ['none', 'quick', 'full'] },
    flags: '--latency <mode>',
    help: 'none, quick (at most 10 s for a model and thread count) or full',
    default: 'quick',
    commands: RUNNERS,
  },
  browser: {
    type: { kind: 'flag' },
    flags: '--browser',
    help: 'time the models in a headless Chromium too (needs Chromium and the package playwright-core)',
    commands: ['bench'],
  },
  threads: {
    type: { kind: 'integer', min: 1, max: 1024 },
    flags: '--threads <n>',
    help: 'threads beside 1 that latency is measured with (default: all)',
    commands: RUNNERS,
  },
  seed: {
    type: { kind: 'integer', min: 0 },
    flags: '--seed <n>',
    help: 'seed of everything random',
    default: 0,
    commands: ['compress', 'validate', 'bench'],
  },
  validate: {
    type: { kind: 'flag' },
    flags: '--no-validate',
    help: 'do not run the models: no accuracy, no latency',
    default: true,
    commands: ['compress'],
  },
  check: {
    type: { kind: 'flag' },
    flags: '--check',
    help: 'verify the graph after every pass',
    commands: ['compress'],
  },
  preprocess: {
    type: {
      kind: 'object',
      schema: {
        type: 'object',
        additionalProperties: false,
        properties: {
          resize: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 2, maxItems: 2 },
          channels: { enum: ['gray', 'rgb'] },
          scale: { type: 'number' },
          mean: numbers,
          std: numbers,
        },
      },
    },
    help: 'how images become the input: resize [height, width], channels gray or rgb, scale, mean, std',
    commands: JUDGES,
  },
  output: {
    type: {
      kind: 'object',
      schema: {
        type: 'object',
        additionalProperties: false,
        properties: {
          name: { type: 'string' },
          kind: { enum: ['logit', 'prob', 'index', 'values'] },
          threshold: { type: 'number' },
          channel: { type: 'integer', minimum: 0 },
        },
      },
    },
    help: 'how the output becomes a mask: name, kind (logit, prob, index, values), threshold, channel',
    commands: JUDGES,
  },
  labels: {
    type: { kind: 'object', schema: { type: 'object', additionalProperties: { type: 'integer', minimum: 0 } } },
    help: 'class of each pixel value of the masks',
    commands: JUDGES,
  },
  spacing: {
    type: {
      kind: 'object',
      schema: { type: 'array', items: { type: 'number', exclusiveMinimum: 0 }, minItems: 2, maxItems: 3 },
    },
    help: 'millimetres per pixel along each axis (y, x), where no table says it',
    commands: JUDGES,
  },
  config: {
    type: { kind: 'text' },
    flags: '--config <file>',
    help: 'JSON file with any of these options; the command line wins',
    commands: JUDGES,
  },
  json: {
    type: { kind: 'flag' },
    flags: '--json',
    help: 'one JSON object on stdout, everything else on stderr',
    commands: ['compress', 'inspect', 'convert', 'validate', 'bench'],
  },
  quiet: { type: { kind: 'flag' }, flags: '-q, --quiet', help: 'print only the result', commands: ALL },
  verbose: { type: { kind: 'flag' }, flags: '-v, --verbose', help: 'print what every pass did', commands: ALL },
} as const satisfies Record<string, OptionSpec>;

type OptionName = keyof typeof OPTIONS;

/** Values of the options that only the configuration file holds. */
interface ObjectValues {
  preprocess: {
    resize?: [height: number, width: number];
    channels?: 'gray' | 'rgb';
    scale?: number;
    mean?: number[];
    std?: number[];
  };
  output: { name?: string; kind?: 'logit' | 'prob' | 'index' | 'values'; threshold?: number; channel?: number };
  labels: Record<string, number>;
  spacing: number[];
}

type ValueOf<K extends OptionName> = (typeof OPTIONS)[K]['type'] extends infer T
  ? T extends { kind: 'flag' }
    ? boolean
    : T extends { kind: 'number' | 'integer' }
      ? number
      : T extends { kind: 'integer-or-word'; word: infer W }
        ? number | W
        : T extends { kind: 'text' }
          ? string
          : T extends { kind: 'list' }
            ? readonly string[]
            : T extends { kind: 'choice'; choices: readonly (infer C)[] }
              ? C
              : K extends keyof ObjectValues
                ? ObjectValues[K]
                : never
  : never;

/** What a user may give: every option of the table. */
export type Options = { readonly [K in OptionName]?: ValueOf<K> };

type Defaulted = { [K in OptionName]: (typeof OPTIONS)[K] extends { default: unknown } ? K : never }[OptionName];

/** Options with the table's defaults filled in. */
export type FullOptions = Options & { readonly [K in Defaulted]-?: ValueOf<K> };

export function withDefaults(options: Options): FullOptions {
  const full: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(OPTIONS)) if ('default' in spec) full[name] = spec.default;
  for (const [name, value] of Object.entries(options)) if (value !== undefined) full[name] = value;
  return full as unknown as FullOptions;
}

/** JSON Schema of the configuration file (draft 2020-12). */
export function configSchema(): object {
  const properties: Record<string, object> = { $schema: { type: 'string' } };
  for (const [name, spec] of Object.entries(OPTIONS) as [string, OptionSpec][])
    if (name !== 'config') properties[name] = { description: spec.help, ...schemaOf(spec), ...defaultOf(spec) };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'unet-compress configuration',
    type: 'object',
    additionalProperties: false,
    properties,
  };
}

function defaultOf(spec: OptionSpec): object {
  return spec.default === undefined ? {} : { default: spec.default };
}

function schemaOf({ type }: OptionSpec): object {
  switch (type.kind) {
    case 'flag':
      return { type: 'boolean' };
    case 'number':
      return { type: 'number', exclusiveMinimum: type.above, minimum: type.min, maximum: type.max };
    case 'integer':
      return { type: 'integer', minimum: type.min, maximum: type.max };
    case 'integer-or-word':
      return { anyOf: [{ type: 'integer', minimum: type.min }, { const: type.word }] };
    case 'text':
      return { type: 'string' };
    case 'list':
      return { type: 'array', items: { type: 'string' } };
    case 'choice':
      return { enum: type.choices };
    case 'object':
      return type.schema;
  }
}
