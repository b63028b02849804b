import type { Exchange, Placed } from './exchange.js';
import type { LoadedStep, Tensors } from './runner.js';

/** A loaded step whose tensors come and go through the file that it shares with the parent process. */
export class ServedStep {
  /** The memory of the last step's inputs, which takes those of the next. */
  private inputs: Tensors = {};

  constructor(
    private readonly step: LoadedStep,
    private readonly exchange: Exchange,
  ) {}

  async run(inputs: Placed): Promise<Placed> {
    this.inputs = this.exchange.take(inputs, this.inputs);
    return this.exchange.put(await this.step.run(this.inputs));
  }

  setState(values: Placed): void {
    this.exchange.take(values, this.step.state());
  }

  state(): Placed {
    return this.exchange.put(this.step.state());
  }

  async unload(): Promise<void> {
    await this.step.release();
  }
}
