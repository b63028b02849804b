import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';
import { bindShapes } from '../analysis/cost.js';
import { badOption } from '../errors.js';
import { movedInterface } from '../exporters/interface-layout.js';
import { exportOnnx, sizeOfOnnx } from '../exporters/onnx/index.js';
import { exportTfjs, sizeOfTfjs } from '../exporters/tfjs/index.js';
import { exportTflite, sizeOfTflite } from '../exporters/tflite/index.js';
import {
  ARTIFACT_FORMATS,
  type ArtifactFormat,
  decodeMetadata,
  encodeMetadata,
  METADATA_KEY,
} from '../formats/metadata.js';
import { SHARD_NAME } from '../formats/tfjs/write.js';
import type { Graph } from '../ir/graph.js';
import type { FullOptions } from '../options.js';
import { type RuntimeName, runtimeOf } from '../runtime/runner.js';
import { VERSION } from '../version.js';
import type { ArtifactFile } from './build-report.js';
import type { Draft } from './draft.js';
import { readInputShapes } from './input-shapes.js';
import { makeFolder } from './prepare-target.js';

/** The formats to write, in the order of the option: `onnx` unless others are named. */
export function formatsOf(formats: readonly string[] = ['onnx']): ArtifactFormat[] {
  const named = formats.flatMap((item) => item.split(','));
  for (const format of named)
    if (!(ARTIFACT_FORMATS as readonly string[]).includes(format))
      throw badOption('--format', `can be ${ARTIFACT_FORMATS.join(', ')}, not '${format}'`);
  return [...new Set(named as ArtifactFormat[])];
}

/** Where the artefact of a model file lies in the folder of results: the file that a runtime is given. */
export function artifactPath(format: ArtifactFormat, file: string): string {
  const { name } = parse(file);
  return format === 'tfjs' ? join(`${name}-tfjs`, 'model.json') : `${name}.${format}`;
}

/** An artefact that is to be written. */
export interface PlannedArtifact {
  readonly format: ArtifactFormat;
  /** Below the folder of results. */
  readonly path: string;
  readonly target: string;
  readonly runtime: RuntimeName;
  readonly channelsLast: readonly string[];
  /** The bytes that it will have. */
  size(): number;
  /** Writes it to a path; returns all files, the one that a runtime is given first. */
  write(path: string): Promise<string[]>;
}

/**
 * What becomes of a graph in each format. What one of them cannot hold shows here or when it is written, before anything
 * is published.
 */
export function planArtifacts(
  targets: readonly { readonly format: ArtifactFormat; readonly path: string }[],
  graph: Graph,
  options: FullOptions,
): PlannedArtifact[] {
  return targets.map(({ format, path }) => {
    const { prepared, channelsLast } = prepareGraph(format, graph, options);
    return {
      format,
      path,
      target: join(options.out, path),
      runtime: runtimeOf(format),
      channelsLast,
      size: () => sizeOfArtifact(format, prepared, options),
      write: (at: string) => exportArtifact(format, prepared, at, options),
    };
  });
}

/** A graph as one format is to hold it: with fixed shapes and a word on its layout where that format wants them. */
function prepareGraph(format: ArtifactFormat, graph: Graph, options: FullOptions) {
  if (format === 'onnx') return { prepared: graph, channelsLast: [] };
  const bound = bindShapes(graph, readInputShapes(options.inputShape, graph.inputs), null);
  const channelsLast = movedInterface(bound, options.layout);
  const said = encodeMetadata({ ...decodeMetadata(graph.metadata), channelsLast });
  return { prepared: bound.with({ metadata: new Map([...graph.metadata, [METADATA_KEY, said]]) }), channelsLast };
}

/** As an artefact for the report, of which nothing is written. */
export function unwritten(planned: PlannedArtifact): ArtifactFile {
  const { format, target, channelsLast } = planned;
  return { format, target, file: target, channelsLast, written: planned.size() };
}

/** An artefact that lies in a folder for results to be. */
export interface WrittenArtifact extends PlannedArtifact, ArtifactFile {
  readonly written: readonly string[];
}

export async function writeArtifacts(
  artifacts: readonly PlannedArtifact[],
  folder: string,
): Promise<WrittenArtifact[]> {
  const done: WrittenArtifact[] = [];
  for (const planned of artifacts) {
    const file = join(folder, planned.path);
    await makeFolder(dirname(file));
    done.push({ ...planned, file, written: await planned.write(file) });
  }
  return done;
}

/**
 * Publishes artefacts with all their files, and the files of the run beside them, the last of these last. Weights come
 * before the model that reads them; those of an earlier run that no model reads any more go.
 */
export async function publishArtifacts(
  written: readonly WrittenArtifact[],
  others: readonly string[],
  publish: Draft['publish'],
): Promise<void> {
  await publish([...written.flatMap((one) => [...one.written].reverse()), ...others]);
  for (const { format, target, written: files } of written)
    if (format === 'tfjs')
      await removeOtherShards(
        dirname(target),
        files.map((file) => basename(file)),
      );
}

async function removeOtherShards(folder: string, names: readonly string[]): Promise<void> {
  for (const name of await readdir(folder))
    if (SHARD_NAME.test(name) && !names.includes(name)) await rm(join(folder, name), { force: true });
}

/**
 * The compressed graph as an ONNX file, against which artefacts of other formats are held; it is published only where
 * ONNX is asked for. Null where nothing is to be compared.
 */
export async function writeReference(
  written: readonly WrittenArtifact[],
  graph: Graph,
  folder: string,
  options: FullOptions,
): Promise<string | null> {
  const onnx = written.find(({ format }) => format === 'onnx');
  if (onnx || !options.validate) return onnx?.file ?? null;
  const [file] = await exportOnnx(graph, join(folder, 'reference.onnx'));
  return file;
}

/**
 * Writes a prepared graph.
 * @returns the files written, the one that a runtime is given first
 */
function exportArtifact(
  format: ArtifactFormat,
  graph: Graph,
  path: string,
  { layout, externalData }: FullOptions,
): Promise<string[]> {
  switch (format) {
    case 'onnx':
      return exportOnnx(graph, path, { externalData });
    case 'tflite':
      return exportTflite(graph, path, { layout });
    case 'tfjs':
      return exportTfjs(graph, parse(path).dir, { layout, version: VERSION });
  }
}

/** Bytes that `exportArtifact` would write. */
function sizeOfArtifact(format: ArtifactFormat, graph: Graph, { layout }: FullOptions): number {
  switch (format) {
    case 'onnx':
      return sizeOfOnnx(graph);
    case 'tflite':
      return sizeOfTflite(graph, { layout });
    case 'tfjs':
      return sizeOfTfjs(graph, { layout, version: VERSION });
  }
}
