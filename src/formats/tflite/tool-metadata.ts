import { type Field, FlatBuilder } from '../flat-builder.js';
import type { ArtifactMetadata } from '../metadata.js';

/** The name under which tools look for what `encodeToolMetadata` makes. */
export const TOOL_METADATA_NAME = 'TFLITE_METADATA';

const FILE_IDENTIFIER = 'M001';

/** Field numbers of the metadata schema of TensorFlow Lite (metadata_schema.fbs). */
const MODEL = { name: 0, description: 1, subgraphs: 3 } as const;
const SUBGRAPH = { inputs: 2, outputs: 3 } as const;
const TENSOR = { name: 0, description: 1, content: 3, processUnits: 4 } as const;
const CONTENT = { type: 0, properties: 1 } as const;
const IMAGE = { colorSpace: 0 } as const;
const PROCESS_UNIT = { type: 0, options: 1 } as const;
const NORMALIZATION = { mean: 0, std: 1 } as const;
const IMAGE_PROPERTIES = 2;
const NORMALIZATION_OPTIONS = 1;
const COLOR_SPACES = { rgb: 1, gray: 2 } as const;

/**
 * What an artefact says of itself in the form that TensorFlow Lite's own tools read: names, the color space of the image,
 * and its normalization as (pixel − mean) / std.
 */
export function encodeToolMetadata(
  name: string,
  inputs: readonly string[],
  outputs: readonly string[],
  { preprocess, output, baked }: ArtifactMetadata,
): Uint8Array {
  const builder = new FlatBuilder();
  const takesImage = preprocess !== undefined && inputs.length === 1;
  const inputTables = inputs.map((input) =>
    builder.table([
      [TENSOR.name, 'offset', builder.text(input)],
      [
        TENSOR.description,
        'offset',
        builder.text(baked?.includes('pre') ? 'image, 8 bits a channel' : 'prepared image'),
      ],
      ...(takesImage ? imageFields(builder, preprocess) : []),
    ]),
  );
  const outputTables = outputs.map((one) =>
    builder.table([
      [TENSOR.name, 'offset', builder.text(one)],
      [TENSOR.description, 'offset', builder.text(descriptionOf(output?.kind))],
    ]),
  );
  const subgraph = builder.table([
    [SUBGRAPH.inputs, 'offset', builder.offsets(inputTables)],
    [SUBGRAPH.outputs, 'offset', builder.offsets(outputTables)],
  ]);
  const root = builder.table([
    [MODEL.name, 'offset', builder.text(name)],
    [MODEL.description, 'offset', builder.text('segmentation network')],
    [MODEL.subgraphs, 'offset', builder.offsets([subgraph])],
  ]);
  return builder.finish(root, FILE_IDENTIFIER);
}

function descriptionOf(kind: NonNullable<ArtifactMetadata['output']>['kind']): string {
  switch (kind) {
    case 'index':
      return 'class number of every pixel';
    case 'prob':
      return 'probability of every class at every pixel';
    case 'logit':
      return 'score of every class at every pixel';
    default:
      return 'values';
  }
}

/** (pixel·scale − mean) / std is (pixel − mean/scale) / (std/scale). */
function imageFields(builder: FlatBuilder, preprocess: NonNullable<ArtifactMetadata['preprocess']>): Field[] {
  const scale = preprocess.scale ?? 1 / 255;
  const [mean, std] = [preprocess.mean ?? [], preprocess.std ?? []];
  const normalization = builder.table([
    [NORMALIZATION.mean, 'offset', builder.floats((mean.length ? mean : [0]).map((value) => value / scale))],
    [NORMALIZATION.std, 'offset', builder.floats((std.length ? std : [1]).map((value) => value / scale))],
  ]);
  const unit = builder.table([
    [PROCESS_UNIT.type, 'byte', NORMALIZATION_OPTIONS],
    [PROCESS_UNIT.options, 'offset', normalization],
  ]);
  const { channels } = preprocess;
  const image = builder.table([[IMAGE.colorSpace, 'byte', channels ? COLOR_SPACES[channels] : 0]]);
  const content = builder.table([
    [CONTENT.type, 'byte', IMAGE_PROPERTIES],
    [CONTENT.properties, 'offset', image],
  ]);
  return [
    [TENSOR.content, 'offset', content],
    [TENSOR.processUnits, 'offset', builder.offsets([unit])],
  ];
}
