import { expect, it } from 'vitest';
import { badOption, interrupted } from '../../src/errors.js';
import { runPasses, type Step } from '../../src/passes/run.js';
import { patterns } from '../support/patterns.js';

/** The message of what comes out of a pass that throws. */
async function messageFor(error: Error): Promise<string> {
  const failing: Step = {
    name: 'failing',
    keeps: 'exact',
    run: () => {
      throw error;
    },
  };
  return runPasses(patterns[0].make(), [failing], { seed: 0 }).then(
    () => 'nothing was thrown',
    ({ message }) => message,
  );
}

it('names the pass that fails, but not one that was interrupted', async () => {
  expect(await messageFor(badOption('--rank', 'is wrong'))).toBe("pass 'failing': --rank is wrong");
  expect(await messageFor(interrupted())).toBe(interrupted().message);
});
