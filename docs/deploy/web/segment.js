// A baked artefact (`--bake pre,post`) takes an image as bytes, channels last, and answers with a class for every pixel.

/** Loads `model.tflite` into LiteRT.js, or the `model.json` of a graph model into TensorFlow.js. */
export async function loadModel(url) {
  return url.endsWith('.tflite') ? loadTflite(url) : loadTfjs(url);
}

let litert;

async function loadTflite(url) {
  const { loadAndCompile, loadLiteRt, Tensor } = await import('@litertjs/core');
  // Once a page.
  litert ??= loadLiteRt('https://cdn.jsdelivr.net/npm/@litertjs/core@2.5.3/wasm/');
  await litert;
  const model = await loadAndCompile(url, { accelerator: 'wasm' });
  const shape = [...model.getInputDetails()[0].shape];
  return withShape(shape, async (bytes) => {
    const input = new Tensor(bytes, shape);
    const [output] = await model.run([input]);
    const classes = Uint8Array.from(await output.data());
    input.delete();
    output.delete();
    return classes;
  });
}

async function loadTfjs(url) {
  const { tf } = globalThis;
  tf.wasm.setWasmPaths('https://cdn.jsdelivr.net/npm/@tensorflow/tfjs-backend-wasm@4.22.0/dist/');
  await tf.setBackend('wasm');
  const model = await tf.loadGraphModel(url);
  const { shape } = model.inputs[0];
  return withShape(shape, async (bytes) => {
    const input = tf.tensor(Int32Array.from(bytes), shape, 'int32');
    const output = model.execute(input);
    const classes = Uint8Array.from(await output.data());
    input.dispose();
    output.dispose();
    return classes;
  });
}

function withShape([, height, width, channels], run) {
  return {
    width,
    height,
    /** Class numbers, row by row, of an image element, a bitmap, a canvas or a video. */
    segment: (image) => run(bytesOf(image, width, height, channels)),
  };
}

/** The image at the model's size; gray as ITU-R BT.601 weighs it. */
function bytesOf(image, width, height, channels) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const bytes = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [red, green, blue] = data.subarray(4 * pixel, 4 * pixel + 3);
    if (channels === 1) bytes[pixel] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else bytes.set([red, green, blue], 3 * pixel);
  }
  return bytes;
}

/** Draws the image, and every class but the background over it. */
export function drawMask(canvas, image, classes, { width, height }) {
  const context = canvas.getContext('2d');
  [canvas.width, canvas.height] = [width, height];
  context.drawImage(image, 0, 0, width, height);
  const picture = context.getImageData(0, 0, width, height);
  classes.forEach((number, pixel) => {
    if (number > 0) picture.data[4 * pixel + 1] = 255;
  });
  context.putImageData(picture, 0, 0);
}
