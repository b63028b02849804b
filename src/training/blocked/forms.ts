import type { Kernels, Value } from '../kernels.js';
import type { Blocked, Layout } from './layout.js';
import type { BlockMemory } from './memory.js';
import { repeatChannels } from './weights.js';

/** What is known of where a value lies. A value without an entry is plain memory itself. */
interface Entry {
  plain?: Value;
  blocked?: Blocked;
  /** Values that follow each other along the channels and are together the value. */
  readonly parts?: readonly Value[];
  /** A value that is the value once its channels are multiplied by `by`. */
  readonly scaled?: Scaled;
}

export interface Scaled {
  readonly of: Value;
  readonly by: Value;
}

/**
 * The forms in which values exist. Each is made when it is first asked for, and kept: plain memory, memory in blocks,
 * a list of parts that are never put together, and a value whose channels are still to be multiplied by something that
 * its readers rather take into their weights.
 */
export class Forms {
  readonly #entries = new Map<Value, Entry>();
  readonly #kernels: Kernels;

  constructor(readonly memory: BlockMemory) {
    this.#kernels = memory.kernels;
  }

  fromBlocked(blocked: Blocked, shape: readonly number[]): Value {
    return this.#new(shape, { blocked });
  }

  fromParts(parts: readonly Value[]): Value {
    if (parts.length === 1) return parts[0];
    const [batch, , ...space] = parts[0].shape;
    const channels = parts.reduce((sum, part) => sum + part.shape[1], 0);
    return this.#new([batch, channels, ...space], { parts });
  }

  fromScaled(of: Value, by: Value): Value {
    return this.#new(of.shape, { scaled: { of, by } });
  }

  #new(shape: readonly number[], entry: Entry): Value {
    const value: Value = { shape, dtype: 'f32' };
    this.#entries.set(value, entry);
    return value;
  }

  layoutOf(value: Value): Layout | undefined {
    return this.memory.layoutOf(value);
  }

  partsOf(value: Value): readonly Value[] | undefined {
    return this.#entries.get(value)?.parts;
  }

  /** Undefined also where the product has been made already. */
  scaledOf(value: Value): Scaled | undefined {
    const entry = this.#entries.get(value);
    return entry?.blocked || entry?.plain ? undefined : entry?.scaled;
  }

  /** Whether an operation on the value should be done on blocks: it lies there already, at least in part. */
  isBlocked(value: Value): boolean {
    const entry = this.#entries.get(value);
    if (entry?.parts) return entry.parts.some((part) => this.isBlocked(part));
    return entry?.blocked !== undefined || (entry?.scaled !== undefined && this.isBlocked(entry.scaled.of));
  }

  /** The value as plain memory. */
  plain(value: Value): Value {
    const entry = this.#entries.get(value);
    if (!entry) return value;
    entry.plain ??= this.#makePlain(value, entry);
    return entry.plain;
  }

  #makePlain(value: Value, { blocked, parts, scaled }: Entry): Value {
    const k = this.#kernels;
    if (parts) return k.operator('Concat', parts, { axis: 1 });
    if (scaled && !blocked && !this.isBlocked(scaled.of))
      return k.multiply(this.plain(scaled.of), k.perChannel(scaled.by, value));
    return this.memory.toPlain(blocked ?? this.blocked(value), value.shape);
  }

  /** The value in blocks; it must have a layout. */
  blocked(value: Value): Blocked {
    const entry = this.#entries.get(value) ?? { plain: value };
    this.#entries.set(value, entry);
    entry.blocked ??= this.#makeBlocked(value, entry);
    return entry.blocked;
  }

  #makeBlocked(value: Value, { plain, scaled }: Entry): Blocked {
    if (scaled && !plain) return this.affine(this.blocked(scaled.of), scaled.by);
    const layout = this.layoutOf(value);
    if (!layout) throw new Error(`a value of shape [${value.shape}] has no layout in blocks`);
    return this.memory.toBlocks(this.plain(value), layout);
  }

  /** scale·x + shift + sum with one number a channel, then an activation: a depthwise 1x1 convolution. */
  affine(x: Blocked, scale: Value, { shift, sum, activation }: AffineParts = {}): Blocked {
    const k = this.#kernels;
    const groups = x.fold * x.channels;
    const data = this.memory.convolve({
      x: x.data,
      weight: k.reshape(repeatChannels(k, scale, x), [groups, 1, 1, 1]),
      bias: shift && repeatChannels(k, shift, x),
      sum,
      how: { groups },
      activation,
    });
    return { ...x, data };
  }
}

interface AffineParts {
  readonly shift?: Value;
  /** Memory of the layout of x. */
  readonly sum?: Value;
  readonly activation?: Parameters<BlockMemory['convolve']>[0]['activation'];
}
