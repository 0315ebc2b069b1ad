"""Makes what the real vLLM is tried with: a model folder from a GGUF file, and a small LoRA adapter for it.

Runs in vLLM's own environment (``make vllm-setup``), and so imports nothing of Pantheon.

    python tests/vllm/convert_model.py MODEL.gguf FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PretrainedConfig

RANK = 4
SEED = 7
STRENGTH = 0.2
"""Standard deviation of the adapter's weights: enough to change an answer, whatever it says then."""


def convert(gguf: Path, folder: Path) -> PretrainedConfig:
    """Write weights (float32), configuration and tokenizer as vLLM reads them."""
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return model.config


def make_adapter(config: PretrainedConfig, folder: Path) -> None:
    """Write a LoRA adapter with seeded random weights on the query projections."""
    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for layer in range(config.num_hidden_layers):
        place = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        for name, shape in (("lora_A", (RANK, config.hidden_size)), ("lora_B", (config.hidden_size, RANK))):
            weights[f"{place}.{name}.weight"] = torch.randn(shape, generator=generator) * STRENGTH
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": ["q_proj"],
        "bias": "none",
    }
    settings |= {"base_model_name_or_path": "", "task_type": "CAUSAL_LM", "inference_mode": True}
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1))


def main(gguf: Path, folder: Path) -> None:
    """Convert, then add the adapter in the folder beside the model's."""
    config = convert(gguf, folder)
    make_adapter(config, folder.with_name(f"{folder.name}-lora"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
