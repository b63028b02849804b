import type { CommandName } from '../options.js';

interface CommandRow {
  /** As commander writes it: the name, then the arguments. */
  readonly usage: string;
  readonly description: string;
}

/** The commands, in the order of the help text. */
export const COMMANDS: Readonly<Record<CommandName, CommandRow>> = {
  compress: { usage: 'compress <model>', description: 'compress a model (the default command)' },
  inspect: { usage: 'inspect <model>', description: 'show layers, shapes, costs, channel classes and kernel ranks' },
  convert: { usage: 'convert <model>', description: 'write a model again, without any pass' },
  validate: { usage: 'validate <original> <compressed>', description: 'compare two models on images' },
  bench: { usage: 'bench <models...>', description: 'time models against the first of them' },
  demo: { usage: 'demo', description: 'run the main job on the embedded sample' },
};

/** What `--help` without a command prints. */
export function overview(): string {
  const rows: [string, string][] = [
    ...Object.values(COMMANDS).map(({ usage, description }): [string, string] => [usage, description]),
    ['help <command>', 'show the options of a command'],
  ];
  const width = Math.max(...rows.map(([usage]) => usage.length)) + 2;
  return [
    'Makes a trained U-Net small and fast, and proves what that cost.',
    '',
    'Usage: unet-compress [command] [options] <files>',
    '  e.g. unet-compress --thin 0.125 --separable model.onnx',
    '',
    'Commands:',
    ...rows.map(([usage, description]) => `  ${usage.padEnd(width)}${description}`),
    '',
    'Options:',
    `  ${'-V, --version'.padEnd(width)}output the version number`,
    `  ${'-h, --help'.padEnd(width)}this text, or after a command its options (unet-compress compress --help)`,
    '',
  ].join('\n');
}
