
# Added by thorctl (images/cpu-vllm): PyPI's torchvision is a CUDA build, so its C++ library is not here, yet fake kernels are
# registered for these two operators at import. Declared only: calling them fails.
_declared = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _declared.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
