"""What is to be cited: every publication once, and which features rest on it."""

from __future__ import annotations

import re
from typing import NamedTuple

OWN = "doi:10.1016/j.cmpb.2022.106818"
"""What first described this program; also what networks of its releases are cited by."""

_IDENTIFIER = re.compile(r"(?:doi:10\.\d{4,9}/[^\s;,]+|arXiv:\d{4}\.\d{4,5})")
OTHERS = "others"
"""Stands for all further authors, as in BibTeX."""


class Publication(NamedTuple):
    """What a reader needs to find a publication."""

    authors: tuple[str, ...]
    """Family name, comma, initials; the last may be `OTHERS`."""
    title: str
    home: str
    """Journal or proceedings, with the volume where there is one."""
    year: int


PUBLICATIONS: dict[str, Publication] = {
    OWN: Publication(
        ("Thibeau-Sutre, E.", "Díaz, M.", "Hassanaly, R.", "Routier, A.", "Dormont, D.",
         "Colliot, O.", "Burgos, N."),
        "ClinicaDL: An open-source deep learning software for reproducible neuroimaging processing",
        "Computer Methods and Programs in Biomedicine 220", 2022,
    ),
    "doi:10.1016/j.media.2020.101694": Publication(
        ("Wen, J.", OTHERS),
        "Convolutional neural networks for classification of Alzheimer's disease: Overview and "
        "reproducible evaluation",
        "Medical Image Analysis 63", 2020,
    ),
    "doi:10.1145/3620665.3640366": Publication(
        ("Ansel, J.", OTHERS),
        "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and "
        "Graph Compilation",
        "ASPLOS", 2024,
    ),
    "doi:10.1038/sdata.2016.44": Publication(
        ("Gorgolewski, K. J.", OTHERS),
        "The brain imaging data structure, a format for organizing and describing outputs of "
        "neuroimaging experiments",
        "Scientific Data 3", 2016,
    ),
    "doi:10.3389/fninf.2021.689675": Publication(
        ("Routier, A.", OTHERS),
        "Clinica: An Open-Source Software Platform for Reproducible Clinical Neuroscience Studies",
        "Frontiers in Neuroinformatics 15", 2021,
    ),
    # Preprocessing.
    "doi:10.1109/TMI.2010.2046908": Publication(
        ("Tustison, N. J.", OTHERS), "N4ITK: Improved N3 Bias Correction",
        "IEEE Transactions on Medical Imaging 29", 2010,
    ),
    "doi:10.1016/j.neuroimage.2010.09.025": Publication(
        ("Avants, B. B.", OTHERS),
        "A reproducible evaluation of ANTs similarity metric performance in brain image "
        "registration",
        "NeuroImage 54", 2011,
    ),
    "doi:10.1016/j.neuroimage.2010.07.033": Publication(
        ("Fonov, V.", OTHERS), "Unbiased average age-appropriate atlases for pediatric studies",
        "NeuroImage 54", 2011,
    ),
    "doi:10.1016/j.compbiomed.2024.108845": Publication(
        ("Fisch, L.", OTHERS),
        "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks",
        "Computers in Biology and Medicine 179", 2024,
    ),
    "doi:10.1016/j.neuroimage.2005.02.018": Publication(
        ("Ashburner, J.", "Friston, K. J."), "Unified segmentation", "NeuroImage 26", 2005
    ),
    "doi:10.1016/j.neuroimage.2007.07.007": Publication(
        ("Ashburner, J.",), "A fast diffeomorphic image registration algorithm", "NeuroImage 38",
        2007,
    ),
    "doi:10.1016/S0006-3495(94)80775-1": Publication(
        ("Basser, P. J.", "Mattiello, J.", "LeBihan, D."),
        "MR diffusion tensor spectroscopy and imaging", "Biophysical Journal 66", 1994,
    ),
    # Networks.
    "doi:10.1109/CVPR.2016.90": Publication(
        ("He, K.", "Zhang, X.", "Ren, S.", "Sun, J."),
        "Deep Residual Learning for Image Recognition", "CVPR", 2016,
    ),
    "doi:10.1109/CVPR.2018.00745": Publication(
        ("Hu, J.", "Shen, L.", "Sun, G."), "Squeeze-and-Excitation Networks", "CVPR", 2018
    ),
    "arXiv:1505.07818": Publication(
        ("Ganin, Y.", OTHERS), "Domain-Adversarial Training of Neural Networks",
        "Journal of Machine Learning Research 17", 2016,
    ),
    "arXiv:1312.6114": Publication(
        ("Kingma, D. P.", "Welling, M."), "Auto-Encoding Variational Bayes", "ICLR", 2014
    ),
    "arXiv:1611.07004": Publication(
        ("Isola, P.", "Zhu, J.-Y.", "Zhou, T.", "Efros, A. A."),
        "Image-to-Image Translation with Conditional Adversarial Networks", "CVPR", 2017,
    ),
    "arXiv:1606.06650": Publication(
        ("Çiçek, Ö.", "Abdulkadir, A.", "Lienkamp, S. S.", "Brox, T.", "Ronneberger, O."),
        "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation", "MICCAI", 2016,
    ),
    "arXiv:2404.09556": Publication(
        ("Isensee, F.", OTHERS),
        "nnU-Net Revisited: A Call for Rigorous Validation in 3D Medical Image Segmentation",
        "MICCAI", 2024,
    ),
    "doi:10.1109/CVPR.2018.00685": Publication(
        ("Hara, K.", "Kataoka, H.", "Satoh, Y."),
        "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", "CVPR", 2018,
    ),
    "doi:10.1109/CVPR.2017.243": Publication(
        ("Huang, G.", "Liu, Z.", "van der Maaten, L.", "Weinberger, K. Q."),
        "Densely Connected Convolutional Networks", "CVPR", 2017,
    ),
    "doi:10.1016/j.media.2020.101871": Publication(
        ("Peng, H.", "Gong, W.", "Beckmann, C. F.", "Vedaldi, A.", "Smith, S. M."),
        "Accurate brain age prediction with lightweight deep neural networks",
        "Medical Image Analysis 68", 2021,
    ),
    "arXiv:2010.11929": Publication(
        ("Dosovitskiy, A.", OTHERS),
        "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", "ICLR", 2021,
    ),
    # Optimization and augmentation.
    "arXiv:1412.6980": Publication(
        ("Kingma, D. P.", "Ba, J."), "Adam: A Method for Stochastic Optimization", "ICLR", 2015
    ),
    "arXiv:1711.05101": Publication(
        ("Loshchilov, I.", "Hutter, F."), "Decoupled Weight Decay Regularization", "ICLR", 2019
    ),
    "arXiv:1803.05407": Publication(
        ("Izmailov, P.", OTHERS),
        "Averaging Weights Leads to Wider Optima and Better Generalization", "UAI", 2018,
    ),
    "arXiv:1608.03983": Publication(
        ("Loshchilov, I.", "Hutter, F."), "SGDR: Stochastic Gradient Descent with Warm Restarts",
        "ICLR", 2017,
    ),
    "doi:10.1016/j.cmpb.2021.106236": Publication(
        ("Pérez-García, F.", "Sparks, R.", "Ourselin, S."),
        "TorchIO: A Python library for efficient loading, preprocessing, augmentation and "
        "patch-based sampling of medical images in deep learning",
        "Computer Methods and Programs in Biomedicine 208", 2021,
    ),
    # Losses, metrics and statistics.
    "arXiv:1907.06845": Publication(
        ("Loaiza-Ganem, G.", "Cunningham, J. P."),
        "The continuous Bernoulli: fixing a pervasive error in variational autoencoders",
        "NeurIPS", 2019,
    ),
    "doi:10.1109/TIP.2003.819861": Publication(
        ("Wang, Z.", "Bovik, A. C.", "Sheikh, H. R.", "Simoncelli, E. P."),
        "Image quality assessment: from error visibility to structural similarity",
        "IEEE Transactions on Image Processing 13", 2004,
    ),
    "doi:10.1080/01621459.1987.10478410": Publication(
        ("Efron, B.",), "Better Bootstrap Confidence Intervals",
        "Journal of the American Statistical Association 82", 1987,
    ),
    "doi:10.1093/biomet/26.4.404": Publication(
        ("Clopper, C. J.", "Pearson, E. S."),
        "The use of confidence or fiducial limits illustrated in the case of the binomial",
        "Biometrika 26", 1934,
    ),
    "doi:10.2307/2531595": Publication(
        ("DeLong, E. R.", "DeLong, D. M.", "Clarke-Pearson, D. L."),
        "Comparing the areas under two or more correlated receiver operating characteristic "
        "curves: a nonparametric approach",
        "Biometrics 44", 1988,
    ),
    "doi:10.2307/2533958": Publication(
        ("Obuchowski, N. A.",), "Nonparametric analysis of clustered ROC curve data",
        "Biometrics 53", 1997,
    ),
    "doi:10.1186/1471-2288-13-91": Publication(
        ("Fagerland, M. W.", "Lydersen, S.", "Laake, P."),
        "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than "
        "exact conditional",
        "BMC Medical Research Methodology 13", 2013,
    ),
    "doi:10.1023/A:1024068626366": Publication(
        ("Nadeau, C.", "Bengio, Y."), "Inference for the Generalization Error",
        "Machine Learning 52", 2003,
    ),
    # Interpretation.
    "arXiv:1312.6034": Publication(
        ("Simonyan, K.", "Vedaldi, A.", "Zisserman, A."),
        "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency "
        "Maps",
        "ICLR workshop", 2014,
    ),
    "arXiv:1610.02391": Publication(
        ("Selvaraju, R. R.", OTHERS),
        "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
        "ICCV", 2017,
    ),
    "arXiv:1703.01365": Publication(
        ("Sundararajan, M.", "Taly, A.", "Yan, Q."), "Axiomatic Attribution for Deep Networks",
        "ICML", 2017,
    ),
    "arXiv:1605.01713": Publication(
        ("Shrikumar, A.", "Greenside, P.", "Shcherbina, A.", "Kundaje, A."),
        "Not Just a Black Box: Learning Important Features Through Propagating Activation "
        "Differences",
        "arXiv", 2016,
    ),
    "arXiv:1311.2901": Publication(
        ("Zeiler, M. D.", "Fergus, R."), "Visualizing and Understanding Convolutional Networks",
        "ECCV", 2014,
    ),
    "arXiv:1412.6806": Publication(
        ("Springenberg, J. T.", "Dosovitskiy, A.", "Brox, T.", "Riedmiller, M."),
        "Striving for Simplicity: The All Convolutional Net", "ICLR workshop", 2015,
    ),
    "arXiv:1706.03825": Publication(
        ("Smilkov, D.", "Thorat, N.", "Kim, B.", "Viégas, F.", "Wattenberg, M."),
        "SmoothGrad: removing noise by adding noise", "arXiv", 2017,
    ),
    "arXiv:2009.07896": Publication(
        ("Kokhlikyan, N.", OTHERS),
        "Captum: A unified and generic model interpretability library for PyTorch", "arXiv", 2020,
    ),
    "arXiv:1810.03292": Publication(
        ("Adebayo, J.", OTHERS), "Sanity Checks for Saliency Maps", "NeurIPS", 2018
    ),
    "arXiv:1806.07421": Publication(
        ("Petsiuk, V.", "Das, A.", "Saenko, K."),
        "RISE: Randomized Input Sampling for Explanation of Black-box Models", "BMVC", 2018,
    ),
}  # fmt: skip
"""Identifier -> publication."""

_N4, _ANTS, _MNI = (
    "doi:10.1109/TMI.2010.2046908",
    "doi:10.1016/j.neuroimage.2010.09.025",
    "doi:10.1016/j.neuroimage.2010.07.033",
)
_CAPS = "doi:10.3389/fninf.2021.689675"
_DEEPBET = "doi:10.1016/j.compbiomed.2024.108845"
_SEGMENTATION = "doi:10.1016/j.neuroimage.2005.02.018"

SOFTWARE: dict[str, tuple[str, ...]] = {
    "ClinicaDL": (OWN,),
    "PyTorch": ("doi:10.1145/3620665.3640366",),
    "leakage guard": ("doi:10.1016/j.media.2020.101694",),
}
"""What every MAPS rests on."""

PREPROCESSINGS: dict[str, tuple[str, ...]] = {
    "t1-linear": (_CAPS, _N4, _ANTS, _MNI, _DEEPBET),
    "flair-linear": (_CAPS, _N4, _ANTS, _MNI, _DEEPBET),
    "t2-linear": (_CAPS, _N4, _ANTS, _MNI, _DEEPBET),
    "pet-linear": (_CAPS, _ANTS, _MNI),
    "t1-volume": (_CAPS, _SEGMENTATION, "doi:10.1016/j.neuroimage.2007.07.007"),
    "t1-extensive": (_CAPS, _SEGMENTATION),
    "dwi-dti": (_CAPS, "doi:10.1016/S0006-3495(94)80775-1"),
    "custom": (),
}
"""Preprocessing -> what it rests on; nobody knows of what custom rests on."""

NOTES = {
    "preprocessing custom": "cite what made the images: the record does not know it",
    "preprocessing bids": "raw images were resampled to one grid, and nothing else",
    "data": "cite the data sets: the record knows the folders, not their names",
    _DEEPBET: "where clinicadl preprocess made the images",
}
"""What there is to say beside a feature or a publication."""

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "Adam": ("arXiv:1412.6980",),
    "AdamW": ("arXiv:1711.05101",),
}
"""Optimizer -> its publication; the others are cited by that of PyTorch."""

AVERAGES: dict[str, tuple[str, ...]] = {"swa": ("arXiv:1803.05407",)}
SCHEDULES: dict[str, tuple[str, ...]] = {"cosine": ("arXiv:1608.03983",)}
LOSSES: dict[str, tuple[str, ...]] = {"VAEContinuousBernoulliLoss": ("arXiv:1907.06845",)}
PACKAGES: dict[str, tuple[str, ...]] = {
    "torchio": ("doi:10.1016/j.cmpb.2021.106236",),
    "captum": ("arXiv:2009.07896",),
}

INTERVALS = ("doi:10.1080/01621459.1987.10478410", "doi:10.1093/biomet/26.4.404")
"""Intervals of metrics: BCa, and that of Clopper and Pearson for shares."""
SIMILARITY = ("doi:10.1109/TIP.2003.819861",)
"""SSIM."""
SANITY = ("arXiv:1810.03292", "arXiv:1806.07421")
"""Tests of attribution maps."""
COMPARISON: dict[str, tuple[str, ...]] = {
    "DeLong's test": ("doi:10.2307/2531595", "doi:10.2307/2533958"),
    "McNemar's test": ("doi:10.1186/1471-2288-13-91",),
    "corrected t-test": ("doi:10.1023/A:1024068626366",),
}
"""Tests of ``compare``, which no MAPS keeps."""
BIDS = ("doi:10.1038/sdata.2016.44",)


def identifiers(reference: str) -> tuple[str, ...]:
    """Return the publications that the reference of a row names; networks of releases are ours.

    Examples
    --------
    >>> identifiers("release 1.6; He et al. 2016, doi:10.1109/CVPR.2016.90")
    ('doi:10.1016/j.cmpb.2022.106818', 'doi:10.1109/CVPR.2016.90')
    """
    own = (OWN,) if reference.startswith("release ") else ()
    return (*own, *_IDENTIFIER.findall(reference))


def link(identifier: str) -> str:
    """Return where a publication is found.

    Examples
    --------
    >>> link("arXiv:1412.6980")
    'https://arxiv.org/abs/1412.6980'
    """
    kind, _, number = identifier.partition(":")
    return f"https://doi.org/{number}" if kind == "doi" else f"https://arxiv.org/abs/{number}"
