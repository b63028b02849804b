import type { Engine, Values } from './engine.js';

/** A training image as the model takes it, without the batch axis and channels first. */
export interface TrainingImage {
  readonly input: Float32Array;
  /** The class of every pixel, at the input's size; null where there are no masks. */
  readonly mask: Uint8Array | null;
}

/** Arrays of one record, by section. */
export type RecordValues = ReadonlyMap<string, Float32Array | Uint8Array>;

export interface RecordSection {
  readonly name: string;
  readonly dtype: 'f32' | 'f16' | 'u8';
  /** Number of elements. */
  readonly length: number;
}

/** What was computed once for each training image, kept on disk. A record is absent until it is written. */
export interface Records {
  /** Images from this number on find no room. */
  readonly capacity: number;
  has(index: number): boolean;
  read(index: number, section: string): Float32Array | Uint8Array | undefined;
  /** @throws CompressError where the disk is full */
  write(index: number, values: RecordValues): void;
  close(): void;
}

/** All that distillation reads of its surroundings. */
export interface TrainingMaterial {
  readonly engine: Engine;
  readonly images: {
    readonly count: number;
    /** Of every input: [channels, space…], without the batch. */
    readonly shape: readonly number[];
    readonly hasMasks: boolean;
    load(index: number): Promise<TrainingImage>;
  };
  /** Every choice looks at these images only. */
  readonly validation: {
    readonly count: number;
    input(index: number): Promise<Values>;
    /** The original's own score on an image; where there is no mask, its result becomes the reference. */
    refer(index: number, outputs: Values): Promise<number>;
    /** Mean Dice over the classes against the reference. */
    score(index: number, outputs: Values): Promise<number>;
  };
  /** How an output without sigmoid, softmax or argmax at its end is read. */
  kindOf(output: string): 'scores' | 'values';
  /** The output that masks and scores are of. */
  readonly output: string;
  /** The channel of that output which is read alone, as the foreground. */
  readonly channel: number | null;
  /** @param key digest of what the records depend on beside the images and the original network */
  openRecords(sections: readonly RecordSection[], key: string): Records;
  readonly checkpoints: {
    /** Whether the run is to go on from the last one. */
    readonly isResumed: boolean;
    /** The last one, where there is one. */
    read(): Promise<Uint8Array | null>;
    write(bytes: Uint8Array): Promise<void>;
    /** Name for messages. */
    readonly file: string;
    /** Whether it is time to write one. */
    isDue(): boolean;
  };
  /** Digest of the original network, the images and the options. */
  readonly key: string;
  /** Milliseconds since some moment. */
  now(): number;
}
