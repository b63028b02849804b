import type { TfjsModel } from '../../formats/tfjs/model.js';
import type { Operation, Program } from '../lowering/operations.js';
import { GraphWriter, type Writer } from './graph-writer.js';
import { TFJS, type WrittenKind } from './target.js';
import { WRITERS } from './writers/index.js';

/** A program as a graph model; `version` is that of the tool. */
export function tfjsModel(program: Program, version: string): TfjsModel {
  const graph = new GraphWriter(program);
  const inputs = program.inputs.map((input) => graph.input(input));
  for (const operation of program.operations) graph.define(operation.output, write(operation, graph));
  const outputs = program.outputs.map((output) => graph.output(output));
  const { nodes, weights } = graph;
  return { generatedBy: `unet-compress ${version}`, inputs, outputs, nodes, weights, metadata: program.metadata };
}

function write(operation: Operation, graph: GraphWriter) {
  if (!isWritten(operation))
    throw new Error(`the program has a ${operation.kind}, which ${TFJS.title} is not a target for`);
  // The compiler cannot see that the writer is the one for this operation's kind.
  return (WRITERS[operation.kind] as Writer<WrittenKind>)(operation, graph);
}

function isWritten(operation: Operation): operation is Extract<Operation, { kind: WrittenKind }> {
  return !TFJS.missing.has(operation.kind);
}
