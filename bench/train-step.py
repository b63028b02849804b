"""The peer of train-step.mjs: the same nets, losses and update in PyTorch, as one would write them there.

Called as `train-step.py <folder> <threads> default|channels_last|float64`. Reads the net and where it starts from the
folder, prints a line when it is ready, and then does for each word on its input: `step`, a timed training step;
`check`, one step whose results are written into the folder (float64). Needs torch 1.13 or newer and nothing else.
"""

import json
import resource
import sys
import time
from array import array
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

LEVELS = 4
CLIP = 2.0
WEIGHT_DECAY = 1e-4


class Unit(nn.Sequential):
    """A convolution, regular or as depthwise and pointwise, then BN and ReLU."""

    def __init__(self, channels_in, channels_out, separable):
        super().__init__()
        if separable:
            self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
            self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        else:
            self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)


def block(channels_in, channels_out, separable, first=False):
    return nn.Sequential(
        Unit(channels_in, channels_out, separable and not first), Unit(channels_out, channels_out, separable)
    )


class Student(nn.Module):
    def __init__(self, base, separable, features):
        super().__init__()
        widths = [base << level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(
            block(1 if level == 0 else widths[level - 1], width, separable, first=level == 0)
            for level, width in enumerate(widths)
        )
        rising = widths[-2::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in rising)
        self.merge = nn.ModuleList(block(2 * width, width, separable) for width in rising)
        self.head = nn.Conv2d(base, 1, 1)
        self.adapters = nn.ModuleList(nn.Conv2d(f["channels"], f["components"], 1) for f in features)
        self.pools = [f["pool"] for f in features]

    def forward(self, x):
        maps = []
        for level, down in enumerate(self.down):
            x = down(x if level == 0 else F.max_pool2d(x, 2))
            maps.append(x)
        skips = maps[:LEVELS]
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
            maps.append(x)
        pooled = (F.avg_pool2d(map, pool) if pool > 1 else map for map, pool in zip(maps, self.pools))
        return self.head(x), [adapter(map) for adapter, map in zip(self.adapters, pooled)]


class Training:
    def __init__(self, folder, layout):
        self.folder = folder
        self.net = json.loads((folder / "net.json").read_text())
        self.dtype = torch.float64 if layout == "float64" else torch.float32
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        features = self.net["features"]
        self.model = Student(self.net["base"], self.net["separable"], features).train()
        values = dict(self.model.state_dict())
        self.fill(values, self.net["parameters"], "parameters")
        self.fill(values, [place for pair in self.net["statistics"] for place in pair], "statistics")
        self.model.load_state_dict(values)
        self.model.to(dtype=self.dtype, memory_format=self.format)
        self.names = dict(self.model.named_parameters())
        self.parameters = list(self.names.values())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = self.make_optimizer()
        batch, _, *size = self.net["shape"]
        self.image = self.tensor("image", self.net["shape"])
        self.target = self.tensor("target", self.net["shape"])
        scales = [2**level for level in (*range(LEVELS + 1), *range(LEVELS - 1, -1, -1))]
        self.maps = [
            self.tensor(
                f"feature{i}",
                [batch, f["components"], *(extent // scale // f["pool"] for extent in size)],
            )
            for i, (f, scale) in enumerate(zip(features, scales))
        ]

    def floats(self, name):
        return torch.frombuffer(bytearray((self.folder / f"{name}.bin").read_bytes()), dtype=torch.float32)

    def tensor(self, name, shape):
        return self.floats(name).reshape(shape).to(dtype=self.dtype).contiguous(memory_format=self.format)

    def fill(self, values, places, name):
        vector = self.floats(name)
        for place in places:
            piece = vector[place["offset"] : place["offset"] + place["size"]]
            values[place["name"]] = piece.reshape(values[place["name"]].shape)

    def make_optimizer(self):
        places = self.net["parameters"]
        groups = [
            {"params": [self.names[p["name"]] for p in places if p["decays"] is decays], "weight_decay": decay}
            for decays, decay in ((True, WEIGHT_DECAY), (False, 0.0))
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.net["rate"], betas=(0.9, 0.999), eps=1e-8, foreach=True)
        vectors = {"exp_avg": self.floats("momentum"), "exp_avg_sq": self.floats("squares")}
        for place in places:
            parameter = self.names[place["name"]]
            start = {"step": torch.tensor(self.net["step"] - 1.0)}
            for key, vector in vectors.items():
                piece = vector[place["offset"] : place["offset"] + place["size"]].reshape(parameter.shape)
                start[key] = torch.empty_like(parameter).copy_(piece)
            optimizer.state[parameter] = start
        return optimizer

    def losses(self):
        logits, maps = self.model(self.image)
        entropy = F.binary_cross_entropy_with_logits(logits, self.target)
        probability, target = torch.sigmoid(logits).flatten(1), self.target.flatten(1)
        overlap = (2 * (probability * target).sum(1) + 1) / (probability.sum(1) + target.sum(1) + 1)
        weights = (f["weight"] for f in self.net["features"])
        features = sum(weight * F.mse_loss(map, of) for weight, map, of in zip(weights, maps, self.maps))
        return entropy, 1 - overlap.mean(), features

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses()
        sum(losses).backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        with torch.no_grad():
            share = 1 - self.net["averaging"]
            torch._foreach_mul_(self.average, 1 - share)
            torch._foreach_add_(self.average, self.parameters, alpha=share)
        return [float(value) for value in (*losses, norm)]

    def timed_step(self):
        started = time.perf_counter()
        losses = self.step()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"milliseconds": 1000 * seconds, "losses": losses, "peakRssBytes": peak}

    def check(self):
        decisions = Decisions(self)
        losses = self.step()
        averages = dict(zip(self.names, self.average))
        state = self.optimizer.state
        self.write("parameters", self.net["parameters"], self.names)
        self.write("average", self.net["parameters"], averages)
        self.write("momentum", self.net["parameters"], {n: state[p]["exp_avg"] for n, p in self.names.items()})
        self.write("squares", self.net["parameters"], {n: state[p]["exp_avg_sq"] for n, p in self.names.items()})
        means, variances = zip(*self.net["statistics"])
        self.write("statistics", [*means, *variances], dict(self.model.named_buffers()))
        return {"losses": losses, "otherDecisions": decisions.counts()}

    def write(self, name, places, values):
        vector = torch.cat([values[place["name"]].detach().reshape(-1) for place in places])
        (self.folder / f"next-{name}.bin").write_bytes(array("d", vector.tolist()).tobytes())


class GivenReLU(nn.Module):
    """A ReLU whose decisions are given, as another engine took them; counts those that it would take otherwise."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.different = 0

    def forward(self, x):
        self.different += int(((x > 0) != self.mask).sum())
        return x * self.mask


class Decisions:
    """Gives all ReLUs the decisions of the folder's activations; counts pooling maxima that are in other places there."""

    def __init__(self, training):
        self.training = training
        self.pools = 0
        self.units = [module for module in training.model.modules() if isinstance(module, Unit)]
        for index, unit in enumerate(self.units):
            unit.register_forward_hook(lambda _, inputs, output, index=index: self.compare(index, output.detach()))
            unit.norm.register_forward_hook(lambda _, inputs, output, index=index: self.give(index, output.shape))

    def give(self, index, shape):
        self.units[index].relu = GivenReLU(self.training.tensor(f"activation{index}", shape) > 0)

    def compare(self, index, output):
        is_pooled = index < 2 * LEVELS and index % 2 == 1
        if is_pooled:
            other = self.training.tensor(f"activation{index}", output.shape)
            places, others = (F.max_pool2d(map, 2, return_indices=True)[1] for map in (output, other))
            self.pools += int((places != others).sum())

    def counts(self):
        return {"given": sum(unit.relu.different for unit in self.units), "pools": self.pools}


def main():
    folder, threads, layout = sys.argv[1:]
    torch.set_num_threads(int(threads))
    training = Training(Path(folder), layout)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        answer = training.check() if line.strip() == "check" else training.timed_step()
        print(json.dumps(answer), flush=True)


main()
