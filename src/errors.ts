/**
 * Every error that a user can meet is built by a function of this file: one sentence that says what is wrong, where,
 * and what to do. Anything else that is thrown is a bug of ours and ends with exit code 3.
 */
export interface ErrorPlace {
  file?: string;
  node?: string;
  op?: string;
  pass?: string;
}

export class CompressError extends Error {
  override readonly name = 'CompressError';

  constructor(
    /** Stable identifier, e.g. `not-a-model`. */
    readonly code: string,
    message: string,
    readonly where: ErrorPlace = {},
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// --- graph and operators ---------------------------------------------------------------------------------------------

export function badGraph(message: string, where: ErrorPlace = {}): CompressError {
  return new CompressError('bad-graph', message, where);
}

/** Thrown by an operator's `infer`: the shapes, types or attributes that a node was given do not go together. */
export function badNode(message: string, where: ErrorPlace = {}): CompressError {
  return new CompressError('bad-node', message, where);
}

// --- files -----------------------------------------------------------------------------------------------------------

export function cannotRead(file: string, cause: unknown): CompressError {
  return new CompressError('cannot-read', `cannot read ${file}: ${messageOf(cause)}`, { file });
}

export function cannotWrite(file: string, cause: unknown): CompressError {
  return new CompressError('cannot-write', `cannot write ${file}: ${messageOf(cause)}`, { file });
}

export function notARegularFile(file: string): CompressError {
  return new CompressError('not-a-regular-file', `${file} is not a regular file; name a file`, { file });
}

/** A cache's place is taken by something that is not a cache and is therefore left alone. */
export function notARecordFile(file: string): CompressError {
  return new CompressError(
    'not-a-record-file',
    `${file} is there and is not a cache that this tool wrote, so it is left as it is; move it or put the cache elsewhere`,
    { file },
  );
}

export function fileChanged(file: string): CompressError {
  return new CompressError(
    'file-changed',
    `${file} changed while it was being read; run again when nothing writes it`,
    {
      file,
    },
  );
}

export function tooLargeForMemory(file: string, bytes: number): CompressError {
  return new CompressError('too-large', `${file} needs ${bytes} bytes in one piece, more than this process can hold`, {
    file,
  });
}

export function diskFull(file: string): CompressError {
  return new CompressError('disk-full', `cannot write ${file}: the disk is full; free some space or write elsewhere`, {
    file,
  });
}

export function noPermission(file: string): CompressError {
  return new CompressError('no-permission', `cannot write ${file}: permission denied; choose another folder`, { file });
}

export function noSuchFolder(file: string): CompressError {
  return new CompressError('no-such-folder', `cannot write ${file}: its folder does not exist; create it first`, {
    file,
  });
}

/** The bytes are not what the format says; `detail` says which, where. */
export function notAModel(file: string, detail: string): CompressError {
  return new CompressError('not-a-model', `${file} is not a valid model: ${detail}; export or download it again`, {
    file,
  });
}

export function truncatedModel(file: string, needed: number, length: number): CompressError {
  return new CompressError(
    'truncated-model',
    `${file} is cut short: it has ${length} bytes and its structure goes on to byte ${needed}; copy or download it again`,
    { file },
  );
}

/** A tensor's shape, type and data do not go together. */
export function badTensor(file: string, tensor: string, detail: string): CompressError {
  return new CompressError('bad-tensor', `tensor "${tensor}" in ${file} ${detail}; export the model again`, { file });
}

/** The content is that of no format that can be read; `found` says what it looks like, where that is known. */
export function unknownFormat(file: string, found: string | null): CompressError {
  const looks = found === null ? 'is not a model in a known format' : `looks like ${found}`;
  return new CompressError('unknown-format', `${file} ${looks}; give an ONNX file`, { file });
}

export function unsupportedOpset(file: string, version: number, oldest: number, newest: number): CompressError {
  return new CompressError(
    'unsupported-opset',
    `${file} uses version ${version} of the ONNX operators, and ${oldest} to ${newest} can be read; export it with opset 17, for example`,
    { file },
  );
}

/** A format cannot say what a node does; `reason` says why. */
export function cannotExport(op: string, node: string, target: string, reason: string): CompressError {
  return new CompressError('cannot-export', `${op} node '${node}' cannot be written to ${target}: ${reason}`, {
    node,
    op,
  });
}

/** A format with fixed shapes is to hold a model with open ones. */
export function openExportShape(
  input: string,
  shape: readonly (number | string)[] | null,
  target: string,
): CompressError {
  const stated = shape?.map((dim) => (typeof dim === 'number' ? dim : 256)) ?? [1, 1, 256, 256];
  return new CompressError(
    'open-export-shape',
    `${target} files have fixed shapes, and input '${input}' has the shape [${shape?.join(', ') ?? '?'}]; state it, e.g. --input-shape ${input}=${stated.join(',')}`,
  );
}

/** What is to surround the network cannot be put into it; `part` is a word of --bake. */
export function cannotBake(part: 'pre' | 'post', why: string): CompressError {
  return new CompressError(
    'cannot-bake',
    `--bake ${part}: ${why}; leave '${part}' out, or state preprocess and output`,
  );
}

/** A weight that half precision would make infinite. */
export function beyondHalf(op: string, node: string, weight: number, largest: number): CompressError {
  return new CompressError(
    'beyond-half',
    `${op} node '${node}' has the weight ${weight.toPrecision(3)}, and half precision ends at ±${largest}; leave --fp16 out`,
    { node, op },
  );
}

export function tfliteTooLarge(weightBytes: number): CompressError {
  return new CompressError(
    'tflite-too-large',
    `a TFLite file holds less than 2 GiB, and the weights alone have ${weightBytes} bytes; thin the model, store its weights in half precision (--fp16), or write ONNX`,
  );
}

// --- weights in a file of their own ----------------------------------------------------------------------------------

export function externalDataWithoutFolder(file: string, tensor: string): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} lies in another file, and a model given as bytes has no folder to look in; load the model by its path`,
    { file },
  );
}

export function externalDataAbsolute(file: string, tensor: string, location: string): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} points to the absolute path "${location}"; only files beside the model are read, so store a relative path`,
    { file },
  );
}

export function externalDataOutside(file: string, tensor: string, location: string): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} points to "${location}", outside the model's folder; put the data beside the model`,
    { file },
  );
}

export function externalDataLink(file: string, tensor: string, location: string): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} points to "${location}", a link that leaves the model's folder; copy the data beside the model`,
    { file },
  );
}

export function externalDataMissing(file: string, tensor: string, location: string): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} lies in "${location}", which is not there; put that file beside the model`,
    { file },
  );
}

export function externalDataTooShort(
  file: string,
  tensor: string,
  location: string,
  needed: number,
  length: number,
): CompressError {
  return new CompressError(
    'external-data',
    `tensor "${tensor}" in ${file} needs "${location}" up to byte ${needed}, but that file has ${length}; copy or download it again`,
    { file },
  );
}

// --- images, arrays and data sets ------------------------------------------------------------------------------------

/** An image, an array or a table that cannot be used; `message` says what is wrong with it and what to do. */
export function badDataFile(file: string, message: string): CompressError {
  return new CompressError('bad-data-file', `${file}: ${message}`, { file });
}

/** A folder of images and masks that does not fit together. */
export function badDataset(folder: string, message: string): CompressError {
  return new CompressError('bad-dataset', `${folder}: ${message}`, { file: folder });
}

/** What turns pixels into the model's input, or the model's output into classes, does not fit the model. */
export function badPreprocess(message: string, where: ErrorPlace = {}): CompressError {
  return new CompressError('bad-preprocess', message, where);
}

// --- running models ----------------------------------------------------------------------------------------------------

export function cannotLoad(file: string, runtime: string, cause: unknown): CompressError {
  const message = `${runtime} cannot load ${file}: ${messageOf(cause)}; check that the file is complete and that this runtime knows its operators`;
  return new CompressError('cannot-load', message, { file });
}

export function cannotRun(file: string, runtime: string, cause: unknown): CompressError {
  return new CompressError('cannot-run', `${runtime} cannot run ${file}: ${messageOf(cause)}`, { file });
}

/** `ending` says how the process ended, e.g. `crashed (SIGSEGV)`; `output` is the end of its error output, or empty. */
export function runnerDied(file: string, runtime: string, ending: string, output: string): CompressError {
  const said = output === '' ? '' : `; it said: ${output}`;
  return new CompressError('runner-died', `the process that ran ${file} in ${runtime} ${ending}${said}`, { file });
}

export function runnerTimedOut(file: string, runtime: string, task: string, milliseconds: number): CompressError {
  const message = `${runtime} did not ${task} ${file} within ${milliseconds / 1000} s and was stopped; allow more time or use a smaller input`;
  return new CompressError('runner-timed-out', message, { file });
}

/** `what` is not there and models are to run in a browser; `remedy` says how to get it. */
export function notInstalled(what: string, remedy: string): CompressError {
  return new CompressError('not-installed', `to run models in Chromium, ${what} is needed and not there; ${remedy}`);
}

export function badModelInput(file: string, problem: string): CompressError {
  return new CompressError('bad-model-input', `${file} cannot take this input: ${problem}`, { file });
}

export function openInputShape(file: string, input: string, shape: string): CompressError {
  const message = `input ${input} of ${file} has the open shape [${shape}]; give its sizes, e.g. --input-shape ${input}=1,1,256,256`;
  return new CompressError('open-input-shape', message, { file });
}

// --- options ---------------------------------------------------------------------------------------------------------

export function badInputShape(message: string, inputs: readonly string[] = []): CompressError {
  const known = inputs.length ? `; it has ${inputs.map((name) => `'${name}'`).join(', ')}` : '';
  return new CompressError('bad-input-shape', `--input-shape: ${message}${known}`);
}

export function badOption(name: string, message: string): CompressError {
  return new CompressError('bad-option', `${name} ${message}`);
}

export function unknownOption(source: string, name: string, nearest: string | undefined): CompressError {
  const meant = nearest && nearest !== name ? `; did you mean '${nearest}'?` : '';
  return new CompressError('unknown-option', `${source}: there is no option '${name}' here${meant}`);
}

/** A glob of --keep-layer or --exclude that no layer answers to. */
export function noSuchLayer(option: string, glob: string, nearest: readonly string[]): CompressError {
  const known = nearest.length ? `; the nearest layers are ${nearest.map((name) => `'${name}'`).join(', ')}` : '';
  return new CompressError('no-such-layer', `${option}: no layer matches '${glob}'${known}`);
}

export function wouldOverwriteInput(file: string): CompressError {
  return new CompressError(
    'would-overwrite-input',
    `${file} is the model that is being read and would be overwritten; choose another folder with --out`,
    { file },
  );
}

export function passFailed(pass: string, cause: unknown): CompressError {
  const known = cause instanceof CompressError ? cause : undefined;
  return new CompressError(known?.code ?? 'pass-failed', `pass '${pass}': ${messageOf(cause)}`, {
    ...known?.where,
    pass,
  });
}

/** Found by the verifier after a pass: always a bug of ours. */
export class VerifierError extends Error {
  override readonly name = 'VerifierError';

  constructor(
    readonly pass: string,
    readonly findings: readonly string[],
  ) {
    super(`pass '${pass}' broke the graph: ${findings.slice(0, 5).join('; ')}`);
  }
}

export function interrupted(): CompressError {
  return new CompressError('interrupted', 'interrupted; nothing half-written is left');
}

// --- training --------------------------------------------------------------------------------------------------------

export function noGradient(op: string, node: string): CompressError {
  return new CompressError(
    'no-gradient',
    `cannot train through the ${op} node '${node}', which has no gradient here; leave --distill out`,
    { op, node },
  );
}

export function unboundedStatistics(value: string): CompressError {
  return new CompressError(
    'unbounded-statistics',
    `the mean or variance of '${value}' over the training images is not finite; check the images and --preprocess`,
    { node: value },
  );
}

export function cannotDistil(what: string, why: string): CompressError {
  return new CompressError('cannot-distil', `cannot distil '${what}': ${why}; leave --distill out`);
}

/** A preset network cannot stand in for the original. */
export function noStudent(why: string): CompressError {
  return new CompressError('no-student', `--student: ${why}; leave --student out, --thin keeps the original's shape`);
}

export function unequalWidths(value: string, original: number, smaller: number): CompressError {
  return new CompressError(
    'unequal-widths',
    `--feature-loss paper compares maps of equal width, and '${value}' has ${original} channels in the original and ${smaller} in the smaller network; leave --feature-loss out`,
    { node: value },
  );
}

export function trainingDiverged(step: number, term: string, value: number): CompressError {
  return new CompressError(
    'training-diverged',
    `training diverged at step ${step}, also at half the rate: the term '${term}' became ${value}; give a lower --lr`,
  );
}

export function damagedCheckpoint(file: string, why: string): CompressError {
  return new CompressError('damaged-checkpoint', `cannot resume from ${file}: ${why}`, { file });
}
