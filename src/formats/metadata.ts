/** The formats that artefacts are written in. */
export const ARTIFACT_FORMATS = ['onnx', 'tflite', 'tfjs'] as const;
export type ArtifactFormat = (typeof ARTIFACT_FORMATS)[number];

/** What surrounds a network and can be put into it: the preparation of the image, and the way from scores to classes. */
export type BakedPart = 'pre' | 'post';

/** What an artefact says of itself, in whatever place its format has for it; read back by importers and by validate. */
export interface ArtifactMetadata {
  /** How images became the input that the figures were measured on. */
  readonly preprocess?: {
    readonly resize?: readonly [number, number] | null;
    readonly channels?: 'gray' | 'rgb' | null;
    readonly scale?: number | null;
    readonly mean?: readonly number[];
    readonly std?: readonly number[];
  };
  /** How the output becomes a mask. */
  readonly output?: {
    readonly name?: string;
    readonly kind?: 'logit' | 'prob' | 'index' | 'values';
    readonly threshold?: number | null;
    readonly channel?: number | null;
  };
  /** Class of each pixel value of the masks. */
  readonly labels?: Readonly<Record<string, number>>;
  /** Inputs and outputs that have their channels last here, and first in the model that this one was made from. */
  readonly channelsLast?: readonly string[];
  /** What is within the model beside the network. */
  readonly baked?: readonly BakedPart[];
  readonly provenance?: {
    readonly tool: string;
    readonly version: string;
    /** File name and SHA-256 of the model that this one was made from. */
    readonly source: string;
    readonly sha256: string;
    readonly passes: readonly string[];
    readonly options: Readonly<Record<string, unknown>>;
  };
}

/** The key under which the metadata stand as JSON. */
export const METADATA_KEY = 'unet-compress';

export function encodeMetadata(metadata: ArtifactMetadata): string {
  return JSON.stringify(metadata);
}

/** What a file of ours says; empty for any other file, or where it cannot be read. */
export function decodeMetadata(entries: ReadonlyMap<string, string>): ArtifactMetadata {
  const text = entries.get(METADATA_KEY);
  if (text === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : {};
  } catch {
    return {};
  }
}
