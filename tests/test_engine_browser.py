"""The engine in a browser, as pages use it: in a worker, with files that come by fetch."""

import base64
from typing import Any

import numpy as np
import pytest
from tolerances import assert_close

import deit_ref
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.trace import Trace

# A canvas would decode the JPEG otherwise than Pillow: the bytes come from here, and go through an ImageData.
ASK = """async ({ pixels, width, height, folder }) => {
  const { Client } = await import(new URL("assets/engine/client.js", location.href));
  const engine = new Client(new Worker(new URL("assets/engine/worker.js", location.href), { type: "module" }));
  const file = async (name) => await fetch(folder + name);
  const config = await (await file("config.json")).json();
  const preprocessor_config = await (await file("preprocessor_config.json")).json();
  const weights = await (await file("model.safetensors")).arrayBuffer();
  await engine.load({ config, preprocessor_config, weights });
  const rgba = Uint8ClampedArray.from(atob(pixels), (letter) => letter.charCodeAt(0));
  const request = { images: [new ImageData(rgba, width, height)], trace: ["*"], lane: "answer" };
  const asked = Array.from({ length: 5 }, () => engine.run(request));
  const answers = await Promise.all(asked);
  const encode = async (array) => {
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(new Blob([array.data]));
    });
    return [array.data.constructor.name, array.shape, url.split(",")[1] ?? ""];
  };
  const steps = [];
  for (const [name, array] of Object.entries(answers.at(-1).trace)) steps.push([name, ...(await encode(array))]);
  const wrong = await engine.run({ ...request, model: "another" }).catch((error) => error.message);
  return { steps, answered: answers.map(Boolean), wrong };
}"""
DTYPES = {"Float32Array": np.float32, "Uint8Array": np.uint8, "Uint8ClampedArray": np.uint8}


@pytest.mark.parametrize("photo", BUNDLED_PHOTOS)
def test_every_step_in_a_worker_is_that_of_the_book(page: Any, site_url: str, photo: str) -> None:
    folder = bundled_photo().parent / "cifar10-distilled"
    page.route("**/model/*", lambda route: route.fulfill(path=folder / route.request.url.rsplit("/", 1)[1]))
    page.goto(site_url)
    image = load_image(bundled_photo(photo))
    rgba = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=-1)
    pixels = base64.b64encode(rgba.tobytes()).decode()
    height, width = image.shape[:2]
    answer = page.evaluate(ASK, {"pixels": pixels, "width": width, "height": height, "folder": f"{site_url}model/"})
    trace = Trace()
    deit_ref.forward(deit_ref.load_weights(), image, trace=trace)
    assert [name for name, *_ in answer["steps"]] == list(trace)
    for name, kind, shape, text in answer["steps"]:
        found = np.frombuffer(base64.b64decode(text), DTYPES[kind]).reshape(shape)
        if found.dtype == np.uint8:
            np.testing.assert_array_equal(found, trace[name], err_msg=name)
        else:
            assert_close(found, trace[name], "float32", name)
    assert answer["answered"][-1]  # how many of the others came too late to be answered is a matter of time
    assert 'No model is loaded as "another"' in answer["wrong"]
